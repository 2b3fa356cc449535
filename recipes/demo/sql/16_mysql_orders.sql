-- dialect: mysql
-- An order book in MySQL: schema, a generated column, and reports.

CREATE TABLE customer (
    customer_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email       VARCHAR(190) NOT NULL,
    country     CHAR(2) NOT NULL,
    created_at  DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE KEY customer_email (email)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE orders (
    order_id    BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    customer_id INT UNSIGNED NOT NULL,
    placed_at   DATETIME NOT NULL,
    state       ENUM('new', 'paid', 'sent', 'returned') NOT NULL DEFAULT 'new',
    KEY orders_by_customer (customer_id, placed_at),
    CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id)
) ENGINE = InnoDB;

CREATE TABLE order_line (
    order_id   BIGINT UNSIGNED NOT NULL,
    line_no    SMALLINT UNSIGNED NOT NULL,
    sku        VARCHAR(32) NOT NULL,
    quantity   INT UNSIGNED NOT NULL,
    unit_price DECIMAL(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line_no),
    CONSTRAINT line_order FOREIGN KEY (order_id) REFERENCES orders (order_id) ON DELETE CASCADE
) ENGINE = InnoDB;

-- Revenue by month and country. The condition on placed_at leaves the column alone, so an index on it
-- can be used; YEAR(placed_at) = 2024 would read every row.
SELECT
    DATE_FORMAT(o.placed_at, '%Y-%m') AS month,
    c.country,
    COUNT(DISTINCT o.order_id) AS orders,
    SUM(l.quantity * l.unit_price) AS revenue
FROM orders AS o
JOIN customer AS c ON c.customer_id = o.customer_id
JOIN order_line AS l ON l.order_id = o.order_id
WHERE o.placed_at >= '2024-01-01' AND o.placed_at < '2025-01-01'
  AND o.state IN ('paid', 'sent')
GROUP BY month, c.country
ORDER BY month, revenue DESC;

-- Customers whose latest order is more than a year ago but who used to order every other month.
SELECT
    c.customer_id,
    c.email,
    COUNT(*) AS orders,
    MAX(o.placed_at) AS last_order,
    DATEDIFF(MAX(o.placed_at), MIN(o.placed_at)) / (COUNT(*) - 1) AS days_between
FROM customer AS c
JOIN orders AS o ON o.customer_id = c.customer_id
GROUP BY c.customer_id, c.email
HAVING COUNT(*) >= 4
   AND MAX(o.placed_at) < DATE_SUB(CURRENT_DATE, INTERVAL 1 YEAR)
   AND DATEDIFF(MAX(o.placed_at), MIN(o.placed_at)) / (COUNT(*) - 1) <= 60
ORDER BY last_order DESC;

-- All skus of an order in one cell, for the packing slip.
SELECT
    o.order_id,
    GROUP_CONCAT(CONCAT(l.quantity, ' x ', l.sku) ORDER BY l.line_no SEPARATOR ', ') AS content
FROM orders AS o
JOIN order_line AS l ON l.order_id = o.order_id
WHERE o.state = 'paid'
GROUP BY o.order_id;
