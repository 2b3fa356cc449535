"""SQL's words, and the marks of its dialects, as tables for the kernels of `sqlsplit` and `sql`.

Words from the reference manuals of PostgreSQL 17, MySQL 8.4, SQLite 3.50, SQL Server 2022, Oracle 23,
BigQuery, Snowflake, Spark 4, Hive 4, DuckDB 1.3, Redshift, ClickHouse and Trino.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, uint64

from coursepack.stages.copies import EMPTY, STEP
from coursepack.stages.words import mix

# What a statement's first word makes of it.
HEADS = {
    "query": "select with values show explain describe desc",
    "dml": "insert update delete merge copy replace load upsert unload",
    "ddl": "create alter drop truncate grant revoke comment rename deny",
    "other": """
        set use begin start commit rollback savepoint release declare call exec execute if while
        print pragma analyze vacuum lock unlock prepare deallocate fetch open close do end optimize
        refresh cache uncache attach detach reindex listen notify discard reset checkpoint kill
        waitfor raiserror throw msck install return purge flush abort exit prompt
    """,
}
KINDS = ("none", *HEADS)
NONE, QUERY, DML, DDL, OTHER = range(5)

# Words that go on with a statement, where a line begins with one.
_CLAUSES = """
    from where join inner left right full outer cross natural on and or group order having limit union
    except intersect minus values set returning when then else case end offset fetch window qualify
    using partition as over lateral select not between in like is exists with into
"""
_KEYWORDS = """
    all any some asc desc by distinct top null true false unique primary key foreign references check
    default constraint index table view database schema function procedure proc trigger event package
    type sequence role user column columns materialized temporary temp global local unlogged external
    extension domain policy tablespace synonym cascade restrict add modify change rename to owner
    enable disable if ignore overwrite low_priority delayed high_priority data infile local inpath
    recursive rows row range preceding following unbounded current first last nulls ties only for each
    before after instead of execute call return returns language begin declare cursor loop while repeat until
    elsif elseif leave iterate exit continue handler found exception raise do nothing conflict
    duplicate matched not source target int integer bigint smallint tinyint mediumint serial bigserial
    numeric decimal float real double precision char character varchar varchar2 nvarchar nchar text
    clob blob bytea binary varbinary bit boolean bool date time timestamp timestamptz datetime
    datetime2 interval year month day hour minute second zone without varying unsigned signed zerofill
    json jsonb uuid array struct map string number money auto_increment autoincrement identity
    generated always stored virtual collate charset engine count sum avg min max coalesce nullif cast
    convert extract substring trim upper lower row_number rank dense_rank lag lead ilike similar rlike
    regexp glob escape explain analyze verbose buffers transaction work isolation level read write
    committed serializable commit rollback savepoint privileges option admin public usage stdin stdout
    csv header delimiter format tables databases schemas grants indexes variables processlist
    stage warehouse task stream pipe catalog connection cluster distribution dictionary
    statistics server rule operator aggregate cast collation subscription publication
    replace ilike pivot unpivot apply tablesample sample rollup cube grouping sets filter within ordinality
    tran temporary login credential partitioned tblproperties location stored parquet orc bucket
    buckets clustered sorted nonclustered include go is atomic deterministic sql modifies reads
    security definer invoker parallel safe immutable stable volatile strict try catch body inout out
    no action initially deferred deferrable immediate exclusive share nowait skip locked of nocount
    clone optimize zorder terminated fields delimited lines enclosed escaped prewhere final settings
    distkey sortkey diststyle encode iam_role gzip directory macro asof start connect prior level
    new old old_table inherits replica identity authorization password encrypted valid
"""
# English words that are no word of SQL: beside them, "select ... from" is a sentence.
_PROSE = """
    the an this that these those your our their its it you we they he she his her my are was were been
    be have has had will would should could may might must which who what how there here also than
    more most such about because so but please following want need yourself itself
"""
# What CREATE, ALTER and DROP are about.
_OBJECTS = """
    table view index database schema function procedure proc trigger event package type sequence role
    user extension domain policy tablespace synonym stage warehouse task stream pipe catalog connection
    cluster server rule operator aggregate cast collation subscription publication login statistics
    column dictionary macro materialized session system keyspace credential partition
    language secret foreign external model row publication profile
"""
_ROUTINES = "function procedure proc trigger event package"

# Words that kernels know by their numbers, which are frozen in compiled kernels: add new ones at the end.
_NAMED = """
    all alter analyze and as begin case comment copy create cursor data declare default deferred
    delete delimiter deny distinct drop end except exclusive exec explain for from go grant if
    immediate insert intersect into is isolation join load loop merge minus on or overwrite
    package print recursive rename repeat replace revoke row select set show stdin table then to
    tran transaction truncate union update use using values while with work
"""
# Languages of Markdown's fences and of code blocks that are SQL.
FENCES = """
    sql mysql mariadb postgres postgresql pgsql psql plsql plpgsql tsql mssql sqlite sqlite3 oracle
    bigquery snowflake sparksql hive hiveql duckdb redshift clickhouse trino presto ansisql sqlpl
"""

# Bits of a word.
HEAD, KEYWORD, CLAUSE, PROSE, OBJECT, ROUTINE, FENCE = 1, 2, 4, 8, 16, 32, 64
KIND_SHIFT, NUMBER_SHIFT = 7, 10

DIALECTS = (
    "postgres",
    "mysql",
    "sqlite",
    "tsql",
    "oracle",
    "bigquery",
    "snowflake",
    "spark",
    "hive",
    "duckdb",
    "redshift",
    "clickhouse",
    "trino",
)
# Marks of a dialect with their weights: up to three tokens in a row. Of the tokens, ' is a string, ` an identifier
# in backticks, [ one in brackets, 0 a number, @ and @@ variables, $0 a parameter, ~ #temp, $ a dollar-quoted string.
_MARKS: dict[str, dict[int, str]] = {
    "postgres": {
        3: """
            bigserial ; jsonb ; timestamptz ; language plpgsql ; @> ; <@ ; create extension ;
            regclass ; to_tsvector ; to_tsquery ; bytea ; tsvector ; from stdin ; using gin ;
            using gist ; using btree ; pg_catalog ; current_setting ; unlogged ;
            security definer ; row level security ; row security ; do $ ; only public ;
            without oids ; nextval ( ; listen ; at time zone ; create domain ; alter type ; e ' ;
            reindex ; enable row level ; as enum ; double precision ; concurrently ;
            returns setof ; returns trigger ; plpgsql ; inet ; jsonb_array_elements ;
            jsonb_build_object ; exclude using ; pg_dump ; search_path ; distinct on ( ;
            tablefunc ; copy from stdin
        """,
        2: """
            on conflict ( ; ->> ' ; generate_series ; skip locked ; string_agg ( ; :: ; serial ;
            ilike ; returning ; current_date - ; execute function ; execute procedure ;
            character varying ; text [ ; [ ] ; filter (
        """,
        1: """
            $ ; to_char ( ; date_trunc ( ' ; $0 ; on conflict ; vacuum
        """,
    },
    "mysql": {
        5: """
            = innodb ; = myisam
        """,
        4: """
            auto_increment ; on duplicate key ; delimiter ; /*! ; insert ignore ; straight_join
        """,
        3: """
            engine = ; ` ; unsigned ; tinyint ( ; mediumint ; charset = ; default charset ;
            lock tables ; unlock tables ; show create ; show databases ; date_format ( ;
            group_concat ( ; str_to_date ( ; curdate ( ; unix_timestamp ( ; load data ; ifnull ( ;
            limit 0 , ; on update current_timestamp ; set names ; regexp ' ; utf8mb4 ;
            timestampdiff ( ; find_in_set ( ; last_insert_id ; int ( ; bigint ( ; explain format ;
            signal sqlstate ; declare continue handler ; character set ; change column ;
            longtext ; mediumtext ; inet_aton ( ; match ( ; in boolean mode ; handler for ;
            algorithm = ; smallint ( ; set @ ; lock in share ; sql_calc_found_rows
        """,
        2: """
            show tables ; from_unixtime ( ; replace into ; @@
        """,
        1: """
            date_sub ( ; date_add ( ; json_extract ( ; datetime ( 0 ; json_table ( ; enum ( ;
            year ( ; skip locked
        """,
    },
    "sqlite": {
        4: """
            autoincrement ; pragma ; sqlite_master ; sqlite_schema ; without rowid ;
            sqlite_sequence ; insert or replace ; insert or ignore ; strftime ( ' ; julianday ( ;
            rowid ; using fts5 ; insert or rollback ; insert or abort ; begin immediate ; glob ' ;
            randomblob ( ; using rtree ; begin exclusive ; begin deferred ; attach database ' ;
            last_insert_rowid ; collate nocase ; total_changes ( ; update or ignore ;
            sqlite_version ; fts4 ; detach database ; unixepoch ; ) strict ;
            group_concat ( distinct ; printf ( ' ; json_tree (
        """,
        3: """
            json_each ( ; datetime ( ' ; date ( ' ; vacuum into
        """,
        2: """
            typeof ( ; replace into ; on conflict (
        """,
        1: """
            hex ( ; integer primary key ; ifnull ( ; group_concat ( ; limit 0 offset ; vacuum
        """,
    },
    "tsql": {
        4: """
            declare @ ; select top ; nvarchar ; getdate ( ; with ( nolock ; isnull ( ;
            set nocount on ; exec sp_executesql ; cross apply ; outer apply ; datetime2 ;
            uniqueidentifier ; begin tran ; commit tran ; try_convert ( ; raiserror ( ; print ' ;
            go ; dbo . ; sys . objects ; object_id ( ; nonclustered ; len ( ; charindex ( ;
            convert ( varchar ; convert ( nvarchar ; begin try ; end catch ; output inserted ;
            output deleted ; varchar ( max ; throw ; for json ; for xml ; option ( recompile ;
            sysdatetime ( ; eomonth ( ; scope_identity ( ; set identity_insert ; @ table ;
            waitfor ; rowcount ; stuff ( ; sysname ; newid ( ; n ' ; exec @ ; create proc ;
            quotename ( ; execute as ; with ( updlock ; alter authorization ; bulk insert ;
            sp_rename ; sp_help ; sys . indexes ; sys . tables
        """,
        3: """
            [ . ; . [
        """,
        2: """
            [ ; @@ ; ~ ; dateadd ( ; identity ( ; iif ( ; datediff ( day ; getutcdate ; set @ ;
            top 0 ; top (
        """,
        1: """
            merge into ; try_cast ( ; money ; fetch next 0 ; datediff ( ; @ ; exec ; bit
        """,
    },
    "oracle": {
        4: """
            varchar2 ; from dual ; sysdate ; nvl ( ; nvl2 ( ; connect by ; rownum ; (+) ;
            decode ( ; is table of ; dbms_output ; systimestamp ; sys_connect_by_path ;
            . nextval ; . currval ; % rowtype ; % type ; user_tables ; all_tables ; dba_tables ;
            execute immediate ; add_months ( ; trunc ( sysdate ; exception when ; bulk collect ;
            forall ; create public synonym ; nocycle ; months_between ( ; create synonym ;
            pls_integer ; nologging ; tablespace users ; regexp_substr ( ; : new ; : old ;
            := : new ; dbms_scheduler ; v$session ; v$sql ; utl_file ; raise_application_error ;
            from user_objects ; last_day ( ; number primary key ; insert all ; binary_integer ;
            regexp_like ( ; model dimension ; flashback ; as of scn ; autonomous_transaction
        """,
        3: """
            number (
        """,
        2: """
            start with ; to_date ( ; minus select ; listagg ( ; purge ; clob ; is begin ;
            to_char ( ; to_number ( ; dual
        """,
        1: """
            rowid ; := ; fetch first 0 ; minus ; number ; trunc (
        """,
    },
    "bigquery": {
        4: """
            safe_cast ( ; select as struct ; _table_suffix ; _partitiontime ; int64 ; float64 ;
            timestamp_trunc ( ; timestamp_diff ( ; timestamp_sub ( ; parse_date ( ;
            format_date ( ; safe_divide ( ; approx_quantiles ( ; options ( ; countif ( ;
            struct < string ; struct < int64 ; format_timestamp ( ; parse_timestamp ( ;
            generate_date_array ( ; generate_array ( ; with offset ; select as value ;
            ml . predict ; farm_fingerprint ( ; datetime_diff ( ; st_geogpoint ( ; create model ;
            _partitiondate ; * replace ( ; bignumeric ; safe . ; net . host ;
            create temp function ; language js ; select * except
        """,
        3: """
            date_trunc ( ; timestamp_add ( ; logical_or ( ; ``
        """,
        2: """
            except ( ; array < ; bytes ; for system_time as ; starts_with ( ; qualify ; struct ( ;
            ` ; extract ( dayofweek ; regexp_extract ( ; parse_json ( ; struct <
        """,
        1: """
            unnest ( ; date_diff ( ; cluster by ; ignore nulls ; any_value ( ; string_agg ( ;
            date_sub ( ; date_add ( ; string
        """,
    },
    "snowflake": {
        5: """
            copy into ; create stage ; file_format = ; flatten ( ; lateral flatten ; : :: ;
            warehouse ; object_construct ( ; try_to_number ( ; iff ( ; zeroifnull ( ; div0 ( ;
            at ( offset ; at ( timestamp ; before ( statement ; timestamp_ntz ; timestamp_ltz ;
            put file ; result_scan ( ; to_varchar ( ; to_variant ( ; try_parse_json ( ; undrop ;
            account_usage ; auto_suspend ; system$stream_has_data ; number ( 38 ;
            create file format ; select $0 ; object_agg ( ; dynamic table ; swap with ;
            table ( generator ; seq4 ( ; ratio_to_report ( ; masking policy ; auto_resume ;
            boolor_agg (
        """,
        3: """
            variant ; clone ; qualify row_number ( ; $0 : ; to_timestamp_ntz ( ; datediff ( ' ;
            array_size ( ; get_path (
        """,
        2: """
            parse_json ( ; dateadd ( ; qualify ; ilike any ; use role ; use schema
        """,
        1: """
            sample ( ; regexp_substr ( ; pivot ( ; match_recognize ; listagg ( ;
            create or replace
        """,
    },
    "spark": {
        5: """
            using delta ; using parquet ; using iceberg ; zorder by ; describe history ;
            create table using ; posexplode ( ; timestamp as of ; version as of ; from_json ( ;
            cache table ; uncache table ; refresh table ; delta . ` ; named_struct ( ; using csv ;
            using json ; percentile_approx ( ; temporary view ; monotonically_increasing_id ;
            array_contains ( ; restore table ; temp view ; broadcast ( ; coalesce ( 0 ;
            repartition ( ; map_from_entries ( ; input_file_name ( ; convert to delta ;
            schema_of_json ( ; inline ( ; using avro ; read_files ( ; streaming ; msck repair
        """,
        3: """
            lateral view ; explode ( ; collect_list ( ; collect_set ( ; to_json ( ; transform ( ;
            left anti ; left semi ; get_json_object (
        """,
        2: """
            optimize ; tblproperties ; distribute by ; aggregate ( ; stack ( ; size ( ; ` ;
            partitioned by ( ; array < ; map < ; struct < ; concat_ws ( ; insert overwrite ;
            rlike ' ; parse_url ( ; str_to_map ( ; clustered by ( ; into 0 buckets
        """,
        1: """
            vacuum ; date_format ( ; from_unixtime ( ; element_at ( ; string ; to_date (
        """,
    },
    "hive": {
        6: """
            row format delimited ; stored as ; fields terminated by ; row format serde ;
            set hive ; load data inpath ; local inpath ; insert overwrite directory ;
            msck repair ; insert overwrite table ; serdeproperties ; inputformat ' ;
            outputformat ' ; add jar ; mapjoin ( ; insert overwrite local ; lateral view outer ;
            from_unixtime ( unix_timestamp ; exchange partition ; skewed by ; reflect ( ;
            export table ; import table ; stored by ; into buckets ; dynamic . partition
        """,
        3: """
            clustered by ( ; into 0 buckets ; get_json_object ( ; collect_set ( ; sort by ;
            parse_url ( ; str_to_map ( ; add partition ; lateral view ; distribute by ;
            partition ( dt ; external table ; left semi
        """,
        2: """
            insert into table ; tblproperties ; explode ( ; cluster by ; partitioned by (
        """,
        1: """
            location ' ; string ; ` ; array < ; map < ; struct <
        """,
    },
    "duckdb": {
        5: """
            read_parquet ( ; read_csv ( ; read_csv_auto ( ; read_json ( ; read_json_auto ( ;
            exclude ( ; positional join ; list_transform ( ; list_value ( ; struct_pack ( ;
            unnest ( [ ; install ; describe select ; summarize ; group by all ; order by all ;
            hugeint ; create macro ; list_filter ( ; list_aggregate ( ; parquet_scan ( ;
            epoch_ms ( ; using sample ; format parquet ; read_ndjson ( ; arg_max ( ; arg_min ( ;
            export database ; pivot_wider ; union by name ; sqlite_scan ( ; glob ( ' ;
            struct_extract ( ; utinyint ; uinteger ; ubigint ; load httpfs ; load spatial ;
            strptime ( ; * exclude ; to_days (
        """,
        3: """
            asof join
        """,
        2: """
            from ' ; attach ' ; unpivot ; list ( ; lambda ; list_contains (
        """,
        1: """
            pragma table_info ; columns ( ; range ( ; pragma ; pivot ; :: ; ilike ; qualify ;
            strftime ( ; [ ] ; generate_series
        """,
    },
    "redshift": {
        6: """
            distkey ; sortkey ; diststyle ; encode zstd ; encode lzo ; encode raw ; encode az64 ;
            iam_role ; credentials ' ; interleaved sortkey ; compound sortkey ; svv_table_info ;
            stl_query ; stv_recents ; backup no ; unload ( ; spectrum ; svl_qlog ; pg_table_def ;
            stl_load_errors ; encode auto ; wlm_query_slot_count ; approximate count ;
            compupdate ; statupdate ; create external schema ; vacuum delete
        """,
        3: """
            gzip ; dist ; copy from ' ; maxerror ; vacuum reindex ; json_extract_path_text ( ;
            convert_timezone ( ; region ' ; format as ; delimiter '
        """,
        2: """
            super ; getdate ( ; listagg ( ; json ' ; identity (
        """,
        1: """
            vacuum full ; nvl ( ; dateadd ( ; datediff (
        """,
    },
    "clickhouse": {
        6: """
            mergetree ( ; engine = mergetree ; replacingmergetree ; summingmergetree ;
            lowcardinality ( ; array join ; tostartofhour ( ; replicatedmergetree ; uint64 ;
            uint32 ; uint8 ; arrayjoin ( ; prewhere ; tostartofday ( ; tostartofmonth ( ;
            todate ( ; uniq ( ; uniqexact ( ; aggregatingmergetree ; toyyyymm ( ; limit 0 by ;
            quantile ( ; format jsoneachrow ; datetime64 ( ; nullable ( ; arraymap ( ;
            grouparray ( ; countif ( ; sumif ( ; settings index_granularity ; global in ;
            on cluster ; materialize index ; system . parts ; system . tables ; final where ;
            with totals ; distributed ( ; asof left join ; quantiles ( ; todatetime ( ;
            any left join ; arrayfilter ( ; argmax ( ; dictget ( ; fixedstring ( ; kafka ;
            codec ( ; multiif (
        """,
        4: """
            float32 ; int32
        """,
        3: """
            optimize table ; tuple ( ; ttl
        """,
        2: """
            settings ; engine =
        """,
        1: """
            int64 ; sample 0 ; final ; format ; string ; any ( ; `
        """,
    },
    "trino": {
        5: """
            approx_distinct ( ; cross join unnest ; from_iso8601_timestamp ( ; date_parse ( ;
            at_timezone ( ; map_agg ( ; approx_percentile ( ; json_extract_scalar ( ;
            partitioned_by = ; format = ' ; cardinality ( ; external_location = ; try ( cast ;
            try ( ; array_join ( ; hive . ; iceberg . ; show catalogs ; numeric_histogram ( ;
            max_by ( ; min_by ( ; unnest ( sequence ; arbitrary ( ; zip_with ( ; reduce ( ;
            map_filter ( ; system . runtime ; tpch . ; json_parse ( ; checksum ( ; day_of_week ( ;
            multimap_agg (
        """,
        3: """
            date_diff ( ' ; sequence (
        """,
        2: """
            with ordinality ; element_at ( ; date_add ( ' ; tablesample bernoulli ;
            with ( format ; contains ( ; histogram ( ; row (
        """,
        1: """
            varchar ) ; from_unixtime ( ; split_part ( ; regexp_extract ( ; transform ( ;
            date_format ( ; unnest ( ; array [ ; json_extract (
        """,
    },
}

_MASK = (1 << 64) - 1
_SLOTS = 4096  # of words; about a sixth used
_MARK_SLOTS = 8192


def word_hash(word: bytes) -> int:
    """The hash that kernels give a token of these bytes, in ASCII lower case."""
    found = int(EMPTY)
    for byte in word.lower():
        found = ((found ^ byte) * int(STEP)) & _MASK
    return int(mix(uint64(found)))


@cache
def words() -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Keys (uint64) and values (int64) of a hash table of words, and the number of each: 1 but for named ones.

    A value is `number << NUMBER_SHIFT | kind << KIND_SHIFT | bits`; the kind is that of the statements that it heads.
    """
    bits: dict[str, int] = {}
    kinds: dict[str, int] = {}
    for kind, listed in HEADS.items():
        for word in listed.split():
            bits[word] = HEAD | KEYWORD
            kinds[word] = KINDS.index(kind)
    for listed, bit in (
        (_CLAUSES, CLAUSE | KEYWORD),
        (_KEYWORDS, KEYWORD),
        (_PROSE, PROSE),
        (_OBJECTS, OBJECT),
        (_ROUTINES, ROUTINE),
        (FENCES, FENCE),
    ):
        for word in listed.split():
            bits[word] = bits.get(word, 0) | bit
    numbers = dict.fromkeys(bits, 1) | {word: n for n, word in enumerate(_NAMED.split(), 2)}
    keys, values = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS, np.int64)
    for word, number in numbers.items():
        value = number << NUMBER_SHIFT | kinds.get(word, 0) << KIND_SHIFT | bits[word]
        _put(keys, values, word_hash(word.encode()), value)
    return keys, values, numbers


@cache
def marks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys (uint64) and values (int64, the mark's number) of a hash table of marks, and the weight (int64)
    of each mark for each dialect; numbers start at 1."""
    numbers: dict[int, int] = {}
    weights = [[0] * len(DIALECTS)]
    for place, dialect in enumerate(DIALECTS):
        for weight, listed in _MARKS[dialect].items():
            for mark in listed.split(";"):
                key = _chain(mark.split())
                number = numbers.setdefault(key, len(weights))
                if number == len(weights):
                    weights.append([0] * len(DIALECTS))
                weights[number][place] = max(weights[number][place], weight)
    keys, values = np.zeros(_MARK_SLOTS, np.uint64), np.zeros(_MARK_SLOTS, np.int64)
    for key, number in numbers.items():
        _put(keys, values, key, number)
    return keys, values, np.array(weights)


def _chain(tokens: list[str]) -> int:
    """The key of a row of tokens."""
    found = 0
    for token in tokens:
        found = ((found * int(STEP)) & _MASK) ^ word_hash(token.encode())
    return found


def _put(keys: np.ndarray, values: np.ndarray, key: int, value: int) -> None:
    slot = key & (len(keys) - 1)
    while keys[slot]:
        slot = (slot + 1) & (len(keys) - 1)
    keys[slot], values[slot] = key, value


@njit(nogil=True, cache=True, forceinline=True)  # called a few times a token
def look_up(keys: np.ndarray, values: np.ndarray, key: Any) -> Any:
    """The value of a key, or 0; inside kernels."""
    last = uint64(len(keys) - 1)
    slot = uint64(key) & last
    while keys[slot] != 0:
        if keys[slot] == key:
            return values[slot]
        slot = (slot + uint64(1)) & last
    return np.int64(0)
