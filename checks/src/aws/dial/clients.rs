//! What the clients of the usual languages, databases and brokers write about a connection that did
//! not come about, as data: the words that tell how it failed, and where each client writes to whom
//! it went. To teach a new text, add a line and a case to the tests.

use super::How;

/// The first of these words that a line has decides how it failed; all in small letters.
pub(super) const WORDS: &[(&str, How)] = &[
    ("enotfound", How::Unresolved),
    ("eai_again", How::Unresolved),
    ("querya e", How::Unresolved),
    ("queryaaaa e", How::Unresolved),
    ("querysrv e", How::Unresolved),
    ("querytxt e", How::Unresolved),
    // Go says so, whatever became of the question.
    ("dial tcp: lookup", How::Unresolved),
    ("dial udp: lookup", How::Unresolved),
    ("hostname resolving error", How::Unresolved),
    ("no such host", How::Unresolved),
    ("unknownhostexception", How::Unresolved),
    ("could not translate host name", How::Unresolved),
    ("could not resolve host", How::Unresolved),
    ("couldn't resolve host", How::Unresolved),
    ("couldn't resolve server", How::Unresolved),
    ("unable to resolve host", How::Unresolved),
    ("failed to resolve", How::Unresolved),
    ("name resolution failed", How::Unresolved),
    ("dns resolution failed", How::Unresolved),
    ("name or service not known", How::Unresolved),
    ("nodename nor servname", How::Unresolved),
    ("temporary failure in name resolution", How::Unresolved),
    ("name does not resolve", How::Unresolved),
    ("no address associated with hostname", How::Unresolved),
    ("failed to lookup address information", How::Unresolved),
    ("getaddrinfo failed", How::Unresolved),
    ("resource temporarily unavailable (", How::Unresolved),
    ("unknown mysql server host", How::Unresolved),
    ("[errno -2]", How::Unresolved),
    ("[errno -3]", How::Unresolved),
    ("[errno -5]", How::Unresolved),
    ("nxdomain", How::Unresolved),
    ("non-existing domain", How::Unresolved),
    ("bad address '", How::Unresolved),
    ("host not found in upstream", How::Unresolved),
    ("could not be resolved (", How::Unresolved),
    ("econnrefused", How::Refused),
    ("connection refused", How::Refused),
    ("connectionrefused", How::Refused),
    ("actively refused", How::Refused),
    ("refused. check that the hostname and port", How::Refused),
    ("[errno 111]", How::Refused),
    ("(os error 111)", How::Refused),
    // MySQL's clients have nothing but the number.
    ("' (111)", How::Refused),
    ("etimedout", How::TimedOut),
    ("timed out", How::TimedOut),
    ("i/o timeout", How::TimedOut),
    ("timeout expired", How::TimedOut),
    ("connect timeout", How::TimedOut),
    ("connection timeout", How::TimedOut),
    ("connecttimeout", How::TimedOut),
    ("timeout connecting", How::TimedOut),
    ("timeout while connecting", How::TimedOut),
    ("upstream request timeout", How::TimedOut),
    ("deadline exceeded", How::TimedOut),
    ("execution expired", How::TimedOut),
    ("timeout occurred after waiting", How::TimedOut),
    ("): timeout", How::TimedOut),
    ("[errno 110]", How::TimedOut),
    ("[errno 113]", How::TimedOut),
    ("[errno 101]", How::TimedOut),
    ("ehostunreach", How::TimedOut),
    ("enetunreach", How::TimedOut),
    ("network is unreachable", How::TimedOut),
    ("no route to host", How::TimedOut),
    // What does not say whether somebody refused.
    ("could not connect to the endpoint url", How::TimedOut),
    ("failed to connect to", How::TimedOut),
    ("failed connecting to", How::TimedOut),
    ("unable to connect to", How::TimedOut),
    ("unabletoconnect", How::TimedOut),
    ("error connecting to", How::TimedOut),
    ("exception opening socket", How::TimedOut),
    ("can't connect to", How::TimedOut),
    ("can't reach database server", How::TimedOut),
    ("could not be established", How::TimedOut),
    (" - no response", How::TimedOut),
];

/// What tells of an answer that did not come over a connection that was there.
pub(super) const SENT: &[&str] = &[
    "read timed out",
    "read timeout",
    "read etimedout",
    "awaiting headers",
    "while reading",
    "while sending",
    "write etimedout",
    "bytes received",
    "was reached but",
];

/// Where each client writes it. The first that a line has decides. `{to}` is a name or an address,
/// `{ip}` an address, `{name}` the name beside it, which may be missing, and `{port}` a port; quotes
/// may be escaped, as in JSON.
pub(super) const PLACES: &[&str] = &[
    // Node, and Go, which may say what it looked up instead.
    r"connect E[A-Z]+ (?<to>[0-9A-Fa-f.:]+):{port}\b",
    r"query[A-Za-z]+ E[A-Z]+ (?:_[a-z]+\._[a-z]+\.)?{to}",
    r"dial (?:tcp|udp)[46]? {ip}:{port}\b",
    r"dial (?:tcp|udp)[46]? \[(?<to>[0-9a-f.:]+)\]:{port}\b",
    r"\blookup {to}(?: on [^ ]+)?: ",
    r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) {to}(?: [A-Za-z0-9._-]+:{port})?",
    r"attempted address(?:es)?: \[?{to}:{port}",
    r"failed to connect to server \[{to}:{port}\]",
    // Python, and what it leaves to C.
    r#"connection to server at "(?<host>[^"]+)" \((?<to>[0-9A-Fa-f.:]+)\), port {port}"#,
    r#"connection to server at "(?<to>[^"]+)", port {port}"#,
    r#"running on host "(?<host>[^"]+)" \((?<to>[0-9A-Fa-f.:]+)\) and accepting.{1,8}TCP/IP connections on port {port}"#,
    r#"running on host "(?<to>[^"]+)" and accepting.{1,8}TCP/IP connections on port {port}"#,
    r#"could not translate host name "(?<to>[^"]+)""#,
    r"HTTPS?Connection(?:Pool)?\(host='(?<to>[^']+)', port={port}\)",
    r#"endpoint URL: "https?://(?<to>[^/":]+)(?::{port})?"#,
    r"Cannot connect to host {to}:{port}",
    r"Cannot connect to [a-z+]+://(?:[^@/\s]*@)?{to}:{port}",
    r"Connection timeout to host https?://{to}(?::{port})?",
    r"Connect call failed \('(?<to>[0-9A-Fa-f.:]+)', {port}",
    r"Error -?\d+ (?:while )?connecting to {to}:{port}",
    r"ServerSelectionTimeoutError: {to}:{port}",
    // Java: Apache, OkHttp, Netty, PostgreSQL, SQL Server, Redis, MongoDB, Spring, Feign, and the
    // language itself.
    r"Connect to (?:https?://)?(?<host>[A-Za-z0-9._-]+):{port} \[[^\]/]*/{ip}",
    r"Connect to ipv[46]#\[?(?<to>[0-9A-Fa-f.:]+?)\]?:{port} failed",
    r"Connect to (?:https?://)?{to}:{port}",
    r"[Ff]ailed to connect to {name}/{ip} \(port {port}\)",
    r"[Ff]ailed to connect to {name}/{ip}:{port}",
    r"timed out[^:]*: {name}/{ip}:{port}",
    r"Connection refused: {name}/{ip}:{port}",
    r"Connection to {to}:{port} refused",
    r"connection to the host {to}, port {port} has failed",
    r"Unable to connect to \[?{name}/{ip}:{port}",
    r"Unable to connect to \[?(?:tcp://|tls://|ssl://)?{to}(?:/<unresolved>)?:{port}",
    r"Failed connecting to (?:host )?{to}:{port}",
    r"\{address={to}:{port}",
    r"connecting to server {to}:{port}",
    r#"request for "https?://(?<to>[^/":]+)(?::{port})?"#,
    r"executing [A-Z]+ https?://{to}(?::{port})?",
    r"[Ff]ailed to resolve (?:host )?'(?<to>[^':]+)(?::{port})?'",
    r"[Uu]nable to resolve host {to}",
    r"Couldn't resolve server {to}:{port}",
    r"UnknownHostException: {to}",
    // Kafka.
    r"Connection to node -?\d+ \({name}/{ip}:{port}\)",
    r"\b{to}:{port}/(?:bootstrap|\d+): Connection setup timed out",
    r#""broker":"{to}:{port}""#,
    // Ruby, PHP, curl, Elixir, Rust.
    r"TCP connection to {to}:{port}",
    r#"connect\(2\) for "?{to}"? port {port}"#,
    r"connect\(2\) for {to}:{port}",
    r"[Ee]rror connecting to Redis on {to}:{port}",
    r"connect to Redis at {to}:{port}",
    r"\[(?:tcp|tls)://{to}:{port}\]",
    r"[Ff]ailed to connect to {to} port {port}",
    r"[Cc]ould(?: not|n't) resolve host:? '?{to}",
    r"php_network_getaddresses: getaddrinfo for {to} failed",
    r"\(Connection: [a-z]+, Host: {to}, Port: {port}",
    r"libcurl-errors\.html\) for https?://{to}(?::{port})?",
    r"(?:tcp|ssl) connect \({to}:{port}\)",
    r"for url \(https?://{to}(?::{port})?[^)]*\)[^)]*(?:trying to connect|\(Connect\)|tcp connect|dns error)",
    // nginx, Apache, MySQL's clients, Prisma.
    r#"upstream: "(?:https?|fastcgi|uwsgi|scgi|grpcs?|memcached)://(?<to>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)(?::{port}|[/"])"#,
    r#"host not found in upstream "{to}"#,
    r"\b{to} could not be resolved \(",
    r"attempt to connect to \[?{ip}\]?:{port}",
    r"[Cc]an't connect to (?:MySQL )?server on '{to}(?::{port})?'",
    r"Unknown MySQL server host '{to}'",
    r"database server at `{to}(?:`:`|:){port}`",
    r"Connection to {to} timed out",
    // gRPC, .NET.
    r"ipv4:{ip}:{port}",
    r"ipv6:(?:\[|%5B)(?<to>[0-9A-Fa-f.:]+)(?:\]|%5D):{port}",
    r"resolution failed for (?:target )?(?:dns:/*)?{to}:{port}",
    r"UnableToConnect on {to}:{port}",
    r"[Ff]ailed to connect to (?:Redis \()?{to}:{port}",
    r"actively refused it\.? \(?\[?(?:::ffff:)?{to}\]?:{port}",
    r"(?:refused|known\.?|unavailable|timed out|unreachable|route to host) \({to}:{port}\)",
    r"\((?<to>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+):{port}\)",
    // What waits for others in shells, and what structured logs have beside the words.
    r"seconds for {to}:{port}",
    r"\b{to}:{port} - no response",
    r"bad address '(?<to>[^':]+)(?::{port})?'",
    r"nc: connect to {to} (?:\([0-9.]+\) )?port {port}",
    r"remote host \({ip}\)",
    r#"address"?: ?['"](?<to>[0-9A-Fa-f.:]+)['"],\s*"?port"?: ?{port}"#,
];

/// A place as a pattern.
pub(super) fn spelled_out(place: &str) -> String {
    let place = place
        .replace("{to}", "(?<to>[A-Za-z0-9._-]+)")
        .replace("{ip}", "(?<to>[0-9.]+)")
        .replace("{name}", "(?<host>[A-Za-z0-9._-]*)")
        .replace("{port}", r"(?<port>\d{1,5})")
        .replace('"', r#"\\?""#);
    format!("(?s){place}")
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::How::{self, Refused, TimedOut, Unresolved};

    /// By client: the line, where it went, and how it failed.
    const LINES: &[(&str, &str, How)] = &[
        // Node: the language, ioredis, MongoDB, KafkaJS, tedious, Prisma.
        ("Error: connect ECONNREFUSED 10.0.21.5:5432", "10.0.21.5:5432", Refused),
        (
            "[ioredis] Unhandled error event: Error: connect ETIMEDOUT 10.0.21.9:6379",
            "10.0.21.9:6379",
            TimedOut,
        ),
        (
            "AggregateError [ETIMEDOUT]: \n    at internalConnectMultiple\n Error: connect ENETUNREACH 2001:db8::1:443 - Local (:::0)",
            "[2001:db8::1]:443",
            TimedOut,
        ),
        ("Error: getaddrinfo ENOTFOUND api.corp.local", "api.corp.local", Unresolved),
        (
            "Error: getaddrinfo EAI_AGAIN redis.internal redis.internal:6379",
            "redis.internal:6379",
            Unresolved,
        ),
        (
            "Error: querySrv ENOTFOUND _mongodb._tcp.cluster0.abcde.mongodb.net",
            "cluster0.abcde.mongodb.net",
            Unresolved,
        ),
        ("Error: queryA ETIMEOUT api.example.com", "api.example.com", Unresolved),
        (
            "MongoServerSelectionError: connect ECONNREFUSED 10.0.21.5:27017",
            "10.0.21.5:27017",
            Refused,
        ),
        (
            "MongoNetworkError: failed to connect to server [mongo.internal:27017] on first connect",
            "mongo.internal:27017",
            TimedOut,
        ),
        (
            r#"{"level":"ERROR","logger":"kafkajs","message":"[Connection] Connection timeout","broker":"b-1.kafka.example:9092","clientId":"api"}"#,
            "b-1.kafka.example:9092",
            TimedOut,
        ),
        (
            "ConnectionError: Failed to connect to sql.example:1433 in 15000ms",
            "sql.example:1433",
            TimedOut,
        ),
        (
            "PrismaClientInitializationError: Can't reach database server at `db.example`:`5432`",
            "db.example:5432",
            TimedOut,
        ),
        (
            "Error: P1001: Can't reach database server at `db.example:5432`",
            "db.example:5432",
            TimedOut,
        ),
        (
            r#"{"level":50,"err":{"code":"ECONNREFUSED","syscall":"connect","address":"10.0.21.5","port":5432}}"#,
            "10.0.21.5:5432",
            Refused,
        ),
        (
            "  errno: -110, code: 'ETIMEDOUT', syscall: 'connect', address: '10.0.21.5', port: 5432",
            "10.0.21.5:5432",
            TimedOut,
        ),
        // Go.
        ("dial tcp 10.0.21.5:3306: connect: connection refused", "10.0.21.5:3306", Refused),
        (
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp 10.0.21.5:50051: i/o timeout\"",
            "10.0.21.5:50051",
            TimedOut,
        ),
        (
            "dial tcp: lookup orders.corp.local on 10.0.0.2:53: no such host",
            "orders.corp.local",
            Unresolved,
        ),
        (
            "dial tcp: lookup orders.corp.local on 10.0.0.2:53: read udp 10.0.1.5:41234->10.0.0.2:53: i/o timeout",
            "orders.corp.local",
            Unresolved,
        ),
        (
            "dial tcp: lookup orders.corp.local on 10.0.0.2:53: server misbehaving",
            "orders.corp.local",
            Unresolved,
        ),
        (
            "failed to connect to `user=app database=app`: hostname resolving error: lookup db.corp.local: no such host",
            "db.corp.local",
            Unresolved,
        ),
        (
            "server selection error: context deadline exceeded, current topology: { Type: Unknown, Servers: [{ Addr: mongo:27017, Type: Unknown, Last error: dial tcp 10.0.21.5:27017: connect: connection refused }, ] }",
            "10.0.21.5:27017",
            Refused,
        ),
        // Python: psycopg, PyMySQL, mysqlclient, redis-py, asyncio, requests, aiohttp, kombu, PyMongo.
        (
            "psycopg2.OperationalError: connection to server at \"db.example\" (10.0.21.5), port 5432 failed: Connection timed out",
            "10.0.21.5:5432",
            TimedOut,
        ),
        (
            "psycopg.OperationalError: connection failed: connection to server at \"10.0.21.5\", port 5432 failed: Connection refused",
            "10.0.21.5:5432",
            Refused,
        ),
        (
            "could not connect to server: Connection timed out\n\tIs the server running on host \"db.example\" (10.0.21.5) and accepting\n\tTCP/IP connections on port 5432?",
            "10.0.21.5:5432",
            TimedOut,
        ),
        (
            r#"{"error":"connection to server at \"db.example\" (10.0.21.5), port 5432 failed: Connection refused\n"}"#,
            "10.0.21.5:5432",
            Refused,
        ),
        (
            "psycopg.OperationalError: failed to resolve host 'db.corp.local': [Errno -2] Name or service not known",
            "db.corp.local",
            Unresolved,
        ),
        (
            "(2003, \"Can't connect to MySQL server on 'db.example' (timed out)\")",
            "db.example",
            TimedOut,
        ),
        (
            "(2003, \"Can't connect to MySQL server on 'db.example' ([Errno 111] Connection refused)\")",
            "db.example",
            Refused,
        ),
        ("(2002, \"Can't connect to server on 'db.example' (115)\")", "db.example", TimedOut),
        (
            "2003 (HY000): Can't connect to MySQL server on 'db.example:3306' (111)",
            "db.example:3306",
            Refused,
        ),
        ("(2005, \"Unknown MySQL server host 'db.corp.local' (-2)\")", "db.corp.local", Unresolved),
        (
            "redis.exceptions.ConnectionError: Error 111 connecting to cache.example:6379. Connection refused.",
            "cache.example:6379",
            Refused,
        ),
        (
            "redis.exceptions.ConnectionError: Error -2 connecting to cache.corp.local:6379. Name or service not known.",
            "cache.corp.local:6379",
            Unresolved,
        ),
        (
            "OSError: [Errno 113] Connect call failed ('10.0.21.5', 5432)",
            "10.0.21.5:5432",
            TimedOut,
        ),
        (
            "HTTPSConnectionPool(host='api.example.com', port=443): Max retries exceeded with url: / (Caused by NewConnectionError('<urllib3.connection.HTTPSConnection object>: Failed to establish a new connection: [Errno 111] Connection refused'))",
            "api.example.com:443",
            Refused,
        ),
        (
            "HTTPConnectionPool(host='orders.local', port=8080): Max retries exceeded with url: / (Caused by NameResolutionError(\"<urllib3.connection.HTTPConnection object>: Failed to resolve 'orders.local' ([Errno -2] Name or service not known)\"))",
            "orders.local:8080",
            Unresolved,
        ),
        (
            "aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host orders.local:8080 ssl:default [Connect call failed ('10.0.21.5', 8080)] Connection refused",
            "orders.local:8080",
            Refused,
        ),
        (
            "consumer: Cannot connect to amqp://guest:**@rabbit.example:5672//: [Errno 111] Connection refused.",
            "rabbit.example:5672",
            Refused,
        ),
        (
            "pymongo.errors.ServerSelectionTimeoutError: mongo.example:27017: timed out (configured timeouts: socketTimeoutMS: 20000.0ms), Timeout: 30s",
            "mongo.example:27017",
            TimedOut,
        ),
        // Java: JDBC, Netty, Lettuce, Jedis, Spring, Feign, MongoDB, Kafka.
        (
            "org.postgresql.util.PSQLException: Connection to db.example:5432 refused. Check that the hostname and port are correct and that the postmaster is accepting TCP/IP connections.",
            "db.example:5432",
            Refused,
        ),
        (
            "com.microsoft.sqlserver.jdbc.SQLServerException: The TCP/IP connection to the host sql.example, port 1433 has failed. Error: \"connect timed out\"",
            "sql.example:1433",
            TimedOut,
        ),
        (
            "io.netty.channel.AbstractChannel$AnnotatedConnectException: Connection refused: orders.local/10.0.21.5:8080",
            "10.0.21.5:8080",
            Refused,
        ),
        (
            "io.lettuce.core.RedisConnectionException: Unable to connect to cache.example/<unresolved>:6379",
            "cache.example:6379",
            TimedOut,
        ),
        (
            "io.lettuce.core.RedisConnectionException: Unable to connect to [cache.example/10.0.21.9:6379]",
            "10.0.21.9:6379",
            TimedOut,
        ),
        (
            "redis.clients.jedis.exceptions.JedisConnectionException: Failed connecting to cache.example:6379",
            "cache.example:6379",
            TimedOut,
        ),
        (
            "ResourceAccessException: I/O error on GET request for \"http://orders.local:8080/v1\": Connection refused",
            "orders.local:8080",
            Refused,
        ),
        (
            "feign.RetryableException: connect timed out executing GET http://orders.local/v1",
            "orders.local:80",
            TimedOut,
        ),
        (
            "java.net.UnknownHostException: Failed to resolve 'orders.corp.local' [A(1)] after 2 queries",
            "orders.corp.local",
            Unresolved,
        ),
        (
            "Timed out after 30000 ms while waiting for a server that matches. Client view of cluster state is {type=UNKNOWN, servers=[{address=mongo.example:27017, type=UNKNOWN, state=CONNECTING, exception={com.mongodb.MongoSocketOpenException: Exception opening socket}, caused by {java.net.ConnectException: Connection refused}}]",
            "mongo.example:27017",
            Refused,
        ),
        (
            "Exception in monitor thread while connecting to server mongo.example:27017 com.mongodb.MongoSocketOpenException: Exception opening socket",
            "mongo.example:27017",
            TimedOut,
        ),
        (
            "[Producer clientId=producer-1] Connection to node -1 (b-1.example/10.0.21.5:9092) could not be established. Node may not be available.",
            "10.0.21.5:9092",
            TimedOut,
        ),
        (
            "%3|1700000000.1|FAIL|rdkafka#producer-1| [thrd:b-1.example:9092/bootstrap]: b-1.example:9092/bootstrap: Connect to ipv4#10.0.21.5:9092 failed: Connection refused (after 2ms in state CONNECT)",
            "10.0.21.5:9092",
            Refused,
        ),
        (
            "%3|1700000000.1|FAIL|rdkafka#producer-1| b-1.example:9092/bootstrap: Connection setup timed out in state CONNECT (after 30028ms in state CONNECT)",
            "b-1.example:9092",
            TimedOut,
        ),
        (
            "rdkafka: b-1.corp.local:9092/bootstrap: Failed to resolve 'b-1.corp.local:9092': Name or service not known",
            "b-1.corp.local:9092",
            Unresolved,
        ),
        // .NET: HttpClient, Npgsql, StackExchange.Redis.
        (
            "System.Net.Http.HttpRequestException: Connection refused (orders:8080)",
            "orders:8080",
            Refused,
        ),
        (
            "System.Net.Http.HttpRequestException: Resource temporarily unavailable (api.corp.local:443)",
            "api.corp.local:443",
            Unresolved,
        ),
        (
            "System.Net.Http.HttpRequestException: No such host is known. (api.corp.local:443)",
            "api.corp.local:443",
            Unresolved,
        ),
        (
            "Npgsql.NpgsqlException (0x80004005): Failed to connect to 10.0.21.5:5432\n ---> System.Net.Sockets.SocketException (111): Connection refused",
            "10.0.21.5:5432",
            Refused,
        ),
        (
            "StackExchange.Redis.RedisConnectionException: It was not possible to connect to the redis server(s). UnableToConnect on cache.example:6379/Interactive, Initializing",
            "cache.example:6379",
            TimedOut,
        ),
        (
            "No connection could be made because the target machine actively refused it. [::ffff:10.0.21.5]:8080",
            "10.0.21.5:8080",
            Refused,
        ),
        // Ruby: Net::HTTP, pg, mysql2, redis-rb.
        (
            "Errno::ECONNREFUSED: Failed to open TCP connection to orders.local:8080 (Connection refused - connect(2) for \"orders.local\" port 8080)",
            "orders.local:8080",
            Refused,
        ),
        (
            "SocketError: Failed to open TCP connection to api.corp.local:443 (getaddrinfo: Name or service not known)",
            "api.corp.local:443",
            Unresolved,
        ),
        (
            "Net::OpenTimeout: Failed to open TCP connection to api.example.com:443 (execution expired)",
            "api.example.com:443",
            TimedOut,
        ),
        (
            "PG::ConnectionBad: connection to server at \"10.0.21.5\", port 5432 failed: Connection refused",
            "10.0.21.5:5432",
            Refused,
        ),
        (
            "Redis::CannotConnectError: Error connecting to Redis on cache.example:6379 (Errno::ECONNREFUSED)",
            "cache.example:6379",
            Refused,
        ),
        (
            "Redis::CannotConnectError: Connection refused - connect(2) for 10.0.21.9:6379",
            "10.0.21.9:6379",
            Refused,
        ),
        // PHP: PDO, Predis, Guzzle.
        (
            "SQLSTATE[HY000] [2002] php_network_getaddresses: getaddrinfo for db.corp.local failed: Name or service not known",
            "db.corp.local",
            Unresolved,
        ),
        (
            "SQLSTATE[HY000] [2002] Connection timed out (Connection: mysql, Host: db.example, Port: 3306, Database: app, SQL: select 1)",
            "db.example:3306",
            TimedOut,
        ),
        (
            "SQLSTATE[08006] [7] connection to server at \"db.example\" (10.0.21.5), port 5432 failed: Connection refused",
            "10.0.21.5:5432",
            Refused,
        ),
        (
            "Predis\\Connection\\ConnectionException: Connection refused [tcp://10.0.21.9:6379]",
            "10.0.21.9:6379",
            Refused,
        ),
        (
            "stream_socket_client(): Unable to connect to tcp://cache.example:6379 (Connection timed out)",
            "cache.example:6379",
            TimedOut,
        ),
        (
            "cURL error 28: Connection timed out after 10001 milliseconds (see https://curl.haxx.se/libcurl/c/libcurl-errors.html) for https://api.example.com/v1",
            "api.example.com:443",
            TimedOut,
        ),
        // Elixir, Rust.
        (
            "Postgrex.Protocol (#PID<0.300.0>) failed to connect: ** (DBConnection.ConnectionError) tcp connect (db.example:5432): connection refused - :econnrefused",
            "db.example:5432",
            Refused,
        ),
        (
            "** (DBConnection.ConnectionError) tcp connect (db:5432): non-existing domain - :nxdomain",
            "db:5432",
            Unresolved,
        ),
        (
            "** (DBConnection.ConnectionError) tcp connect (db.example:5432): timeout",
            "db.example:5432",
            TimedOut,
        ),
        (
            "error sending request for url (https://api.example.com/v1): error trying to connect: tcp connect error: Connection refused (os error 111)",
            "api.example.com:443",
            Refused,
        ),
        (
            "error sending request for url (http://orders.corp.local:8080/): error trying to connect: dns error: failed to lookup address information: Name or service not known",
            "orders.corp.local:8080",
            Unresolved,
        ),
        // curl, nginx, Apache, and what waits in shells.
        ("curl: (6) Could not resolve host: api.corp.local", "api.corp.local", Unresolved),
        (
            "curl: (7) Failed to connect to api.example.com port 443 after 3 ms: Connection refused",
            "api.example.com:443",
            Refused,
        ),
        (
            "curl: (28) Failed to connect to api.example.com port 443 after 130201 ms: Connection timed out",
            "api.example.com:443",
            TimedOut,
        ),
        (
            "connect() failed (111: Connection refused) while connecting to upstream, client: 10.0.3.9, server: _, request: \"GET / HTTP/1.1\", upstream: \"http://10.0.21.5:8080/\", host: \"example.com\"",
            "10.0.21.5:8080",
            Refused,
        ),
        (
            "connect() failed (113: No route to host) while connecting to upstream, client: 10.0.3.9, upstream: \"http://10.0.21.5/\"",
            "10.0.21.5:80",
            TimedOut,
        ),
        (
            "orders.corp.local could not be resolved (3: Host not found), client: 10.0.3.9",
            "orders.corp.local",
            Unresolved,
        ),
        (
            "(111)Connection refused: AH00957: HTTP: attempt to connect to 10.0.21.5:8080 (orders) failed",
            "10.0.21.5:8080",
            Refused,
        ),
        (
            "wait-for-it.sh: timeout occurred after waiting 15 seconds for db.example:5432",
            "db.example:5432",
            TimedOut,
        ),
        ("db.example:5432 - no response", "db.example:5432", TimedOut),
        ("nc: bad address 'db.corp.local'", "db.corp.local", Unresolved),
        (
            "nc: connect to db.example port 5432 (tcp) failed: Connection refused",
            "db.example:5432",
            Refused,
        ),
        (
            "Could not connect to Redis at cache.example:6379: Connection refused",
            "cache.example:6379",
            Refused,
        ),
        // gRPC.
        (
            "14 UNAVAILABLE: failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.21.5:50051: Failed to connect to remote host: Connection refused",
            "10.0.21.5:50051",
            Refused,
        ),
        (
            "14 UNAVAILABLE: No connection established. Last error: connect ETIMEDOUT 10.0.21.5:50051",
            "10.0.21.5:50051",
            TimedOut,
        ),
        (
            "14 UNAVAILABLE: Name resolution failed for target dns:orders.corp.local:50051",
            "orders.corp.local:50051",
            Unresolved,
        ),
        (
            "14 UNAVAILABLE: DNS resolution failed for orders.corp.local:50051: C-ares status is not ARES_SUCCESS",
            "orders.corp.local:50051",
            Unresolved,
        ),
        (
            "io.grpc.StatusRuntimeException: UNAVAILABLE: Unable to resolve host orders.corp.local",
            "orders.corp.local",
            Unresolved,
        ),
    ];

    #[test]
    fn each_client_says_where_it_went_and_how_it_failed() {
        for (line, to, how) in LINES {
            let read = read(line).map(|dial| (dial.to(), dial.how));
            assert_eq!(read, Some(((*to).to_owned(), *how)), "{line}");
        }
    }

    #[test]
    fn what_names_nobody_or_was_answered_is_no_such_connection() {
        for line in [
            "HikariPool-1 - Connection is not available, request timed out after 30000ms",
            "error sending request for url (https://api.example.com/v1): operation timed out",
            "cURL error 28: Operation timed out after 30001 milliseconds with 0 bytes received (see https://curl.haxx.se/libcurl/c/libcurl-errors.html) for https://api.example.com/v1",
            "P1002: The database server at `db.example`:`5432` was reached but timed out",
            "connect() failed (111: Connection refused) while connecting to upstream, upstream: \"fastcgi://unix:/run/php-fpm.sock:\"",
            "upstream timed out (110: Connection timed out) while reading response header from upstream, upstream: \"http://10.0.21.5:8080/\"",
            "FATAL: password authentication failed for user \"app\"",
            "KnexTimeoutError: Knex: Timeout acquiring a connection. The pool is probably full.",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
