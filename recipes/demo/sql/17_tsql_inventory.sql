-- dialect: tsql
-- Stock valuation in SQL Server: first in, first out, without a cursor.
--
-- Each receipt covers an interval of cumulative units, and so do the units sold. What is left of a
-- receipt is the part of its interval beyond the total sold.

CREATE TABLE dbo.Receipt (
    ReceiptId  INT IDENTITY(1, 1) PRIMARY KEY,
    Sku        NVARCHAR(32) NOT NULL,
    ReceivedOn DATE NOT NULL,
    Quantity   INT NOT NULL,
    UnitCost   DECIMAL(10, 4) NOT NULL
);

CREATE TABLE dbo.Sale (
    SaleId   INT IDENTITY(1, 1) PRIMARY KEY,
    Sku      NVARCHAR(32) NOT NULL,
    SoldOn   DATE NOT NULL,
    Quantity INT NOT NULL
);

WITH Layers AS (
    SELECT
        Sku,
        ReceiptId,
        ReceivedOn,
        Quantity,
        UnitCost,
        SUM(Quantity) OVER (PARTITION BY Sku ORDER BY ReceivedOn, ReceiptId ROWS UNBOUNDED PRECEDING)
            AS Upto
    FROM dbo.Receipt
),
Sold AS (
    SELECT Sku, SUM(Quantity) AS Units FROM dbo.Sale GROUP BY Sku
),
Remaining AS (
    SELECT
        l.Sku,
        l.ReceivedOn,
        l.UnitCost,
        CASE
            WHEN l.Upto <= COALESCE(s.Units, 0) THEN 0
            WHEN l.Upto - l.Quantity >= COALESCE(s.Units, 0) THEN l.Quantity
            ELSE l.Upto - COALESCE(s.Units, 0)
        END AS UnitsLeft
    FROM Layers AS l
    LEFT JOIN Sold AS s ON s.Sku = l.Sku
)
SELECT Sku, SUM(UnitsLeft) AS OnHand, SUM(UnitsLeft * UnitCost) AS BookValue
FROM Remaining
WHERE UnitsLeft > 0
GROUP BY Sku
ORDER BY BookValue DESC;

-- The fifty slowest movers: days since the last sale. OUTER APPLY keeps products
-- that never sold at all.
SELECT TOP 50
    r.Sku,
    MIN(r.ReceivedOn) AS FirstReceived,
    recent.LastSold,
    DATEDIFF(DAY, recent.LastSold, GETDATE()) AS DaysIdle
FROM dbo.Receipt AS r
OUTER APPLY (
    SELECT MAX(s.SoldOn) AS LastSold FROM dbo.Sale AS s WHERE s.Sku = r.Sku
) AS recent
GROUP BY r.Sku, recent.LastSold
ORDER BY DaysIdle DESC;
