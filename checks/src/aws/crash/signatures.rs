//! The lines by which runtimes, servers and clients say why they end, as data: to teach a new one,
//! add a row with a line as it is really written, and one that looks like it and says something
//! else. All patterns are tried in one pass; of those that match a line, the first in the table has
//! the word, so what is certain stands before what is general.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::CrashKind::{self, *};

/// One way in which a program says why it ends.
pub(super) struct Signature {
    pub kind: CrashKind,
    pub pattern: &'static str,
    /// What it means, as a clause that can follow "because"; `$it` is what the pattern found.
    pub words: &'static str,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it says what the pattern is for, and the tests match it")
    )]
    pub example: &'static str,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it says where the pattern ends, and the tests match it")
    )]
    pub unlike: &'static str,
}

const fn row(
    kind: CrashKind,
    pattern: &'static str,
    words: &'static str,
    example: &'static str,
    unlike: &'static str,
) -> Signature {
    Signature { kind, pattern, words, example, unlike }
}

#[rustfmt::skip]
pub(super) const SIGNATURES: &[Signature] = &[
    row(Architecture, r"exec format error|cannot execute binary file",
        "the program is built for another CPU",
        "exec /usr/bin/sh: exec format error",
        "unsupported image format error in upload.png"),

    // Memory that the program itself found missing; what the kernel kills, it kills without a word.
    row(OutOfMemory, r"java\.lang\.OutOfMemoryError: (?<it>[A-Za-z][A-Za-z ]*[a-z])",
        "the JVM runs out of memory ($it)",
        r#"Exception in thread "main" java.lang.OutOfMemoryError: Java heap space"#,
        "Picked up JAVA_TOOL_OPTIONS: -XX:+ExitOnOutOfMemoryError"),
    row(OutOfMemory, r"JavaScript heap out of memory",
        "Node.js runs out of heap",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "NODE_OPTIONS=--max-old-space-size=384"),
    row(OutOfMemory, r"(?:fatal error: runtime|^runtime): (?:out of memory|cannot allocate memory)",
        "the Go program runs out of memory",
        "fatal error: runtime: out of memory",
        "runtime: memory limit is 512 MiB"),
    row(OutOfMemory, r"^MemoryError\b|\(NoMemoryError\)|System\.OutOfMemoryException|std::bad_alloc",
        "it runs out of memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "MemoryErrorHandler is registered"),
    row(OutOfMemory, r"Allowed memory size of (?<it>\d+) bytes exhausted",
        "PHP needs more than its memory_limit of $it bytes",
        "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes) in /app/index.php on line 7",
        "Allowed memory size is 134217728 bytes"),
    row(OutOfMemory, r"memory allocation of \d+ bytes failed|Cannot allocate memory|\bENOMEM\b",
        "it gets no memory",
        "memory allocation of 5368709120 bytes failed",
        "memory allocation of 4096 bytes took 3 ms"),

    // IAM and credentials.
    row(AwsDenied, r"not authorized to perform: (?<it>[a-z0-9-]+:[A-Za-z]+)",
        "IAM denies it $it",
        "botocore.exceptions.ClientError: An error occurred (AccessDeniedException) when calling the GetItem operation: User: arn:aws:sts::123456789012:assumed-role/api-task/01 is not authorized to perform: dynamodb:GetItem on resource: arn:aws:dynamodb:eu-west-2:123456789012:table/orders",
        "user 17 is not authorized to perform this operation"),
    row(AwsDenied, r"\((?:AccessDenied|AccessDeniedException|UnauthorizedOperation)\) when calling the (?<it>\w+) operation",
        "AWS denies it $it",
        "botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling the PutObject operation: Access Denied",
        "An error occurred (NoSuchKey) when calling the GetObject operation: The specified key does not exist."),
    row(AwsDenied, r"\bAccessDenied(?:Exception)?: ",
        "AWS denies it something",
        "AccessDenied: Access Denied",
        "AccessDenied handler registered"),
    row(AwsDenied, r"Unable to locate credentials|CredentialsProviderError|NoCredentialProviders|Unable to load (?:AWS )?credentials from any|Could not load credentials from any|no EC2 IMDS role found",
        "the AWS SDK finds no credentials, as of a task without a task role",
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "Loaded credentials from the container's role"),

    // Databases and caches, in their own words.
    row(Tls, r"no pg_hba\.conf entry for host .*(?:no encryption|SSL off)",
        "Postgres takes no connection without TLS",
        r#"FATAL:  no pg_hba.conf entry for host "10.0.11.37", user "app", database "orders", no encryption"#,
        "pg_hba.conf has 7 entries, SSL off"),
    row(Login, r"no pg_hba\.conf entry for host",
        "Postgres admits no such user from this address",
        r#"FATAL:  no pg_hba.conf entry for host "10.0.11.37", user "app", database "orders", SSL encryption"#,
        "reloaded pg_hba.conf"),
    row(Password, r#"password authentication failed for user "?(?<it>[^"\s]+)"#,
        "Postgres refuses the password of user $it",
        r#"psycopg2.OperationalError: connection to server at "db.internal" (10.0.9.9), port 5432 failed: FATAL:  password authentication failed for user "app""#,
        "password authentication for user app is enabled"),
    row(Password, r"Access denied for user '(?<it>[^']*)'@",
        "MySQL refuses user $it",
        "ERROR 1045 (28000): Access denied for user 'app'@'10.0.11.37' (using password: YES)",
        "Access denied for guest visitors of /admin"),
    row(Password, r"\bWRONGPASS\b|\bNOAUTH\b",
        "Redis refuses the login",
        "ReplyError: WRONGPASS invalid username-password pair or user is disabled.",
        "redis noauth mode is off"),
    row(Password, r"(?i:bad auth ?: ?authentication failed)|MongoServerError: Authentication failed",
        "MongoDB refuses the login",
        "MongoServerError: bad auth : Authentication failed.",
        "authentication failed for visitor 12"),
    row(Login, r#"permission denied for (?:table|schema|relation|database|sequence|function) "?(?<it>\w+)"#,
        "its database user has no right to $it",
        "ERROR:  permission denied for table orders",
        "permission denied for visitor 12"),
    row(Login, r#"FATAL: +(?:database|role) "(?<it>[^"]+)" does not exist"#,
        "Postgres knows no $it",
        r#"FATAL:  database "orders" does not exist"#,
        r#"created database "orders", since it does not exist"#),
    row(Login, r"Unknown database '(?<it>[^']+)'",
        "MySQL has no database $it",
        "ERROR 1049 (42000): Unknown database 'orders'",
        "Unknown database driver option"),
    row(Schema, r#"relation "(?<it>[^"]+)" does not exist|no such table: \w"#,
        "the database lacks a table that it needs",
        r#"psycopg2.errors.UndefinedTable: relation "orders" does not exist"#,
        r#"relation "orders" is up to date"#),
    row(Exhausted, r"too many clients already|remaining connection slots are reserved|Too many connections",
        "the database has no connection left for it",
        "FATAL:  sorry, too many clients already",
        "too many clients in the waiting room: 3"),

    // Names that do not resolve.
    row(Dns, r#"host not found in upstream "(?<it>[^":]+)"#,
        "nginx cannot resolve its upstream $it",
        r#"nginx: [emerg] host not found in upstream "api:8080" in /etc/nginx/conf.d/default.conf:3"#,
        r#"added upstream "api:8080""#),
    row(Dns, r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?<it>[\w.-]+)",
        "the name $it does not resolve",
        "Error: getaddrinfo ENOTFOUND db.internal",
        "getaddrinfo took 12 ms"),
    row(Dns, r"lookup (?<it>[\w.-]+)(?: on \S+)?: no such host",
        "the name $it does not resolve",
        "dial tcp: lookup db.internal on 10.0.0.2:53: no such host",
        "lookup db.internal: 10.0.9.9"),
    row(Dns, r#"could not translate host name "(?<it>[^"]+)""#,
        "the name $it does not resolve",
        r#"psycopg2.OperationalError: could not translate host name "db.internal" to address: Name or service not known"#,
        r#"host name "db.internal" has 2 addresses"#),
    row(Dns, r"UnknownHostException: (?<it>[\w.-]+)",
        "the name $it does not resolve",
        "Caused by: java.net.UnknownHostException: db.internal: Name or service not known",
        "retrying after UnknownHostException"),
    row(Dns, r"Name or service not known|Temporary failure in name resolution|Name does not resolve",
        "a name that it needs does not resolve",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "name resolution took 3 ms"),

    // Connections that are refused, or get no answer.
    row(Refused, r#"connection to server at "(?<it>[^"]+)".*Connection refused"#,
        "Postgres at $it refuses the connection",
        r#"psycopg2.OperationalError: connection to server at "db.internal" (10.0.9.9), port 5432 failed: Connection refused"#,
        r#"connection to server at "db.internal" is open"#),
    row(Refused, r"ECONNREFUSED (?<it>\S+:\d+)",
        "$it refuses the connection",
        "Error: connect ECONNREFUSED 10.0.9.9:5432",
        "code: 'ECONNREFUSED',"),
    row(Refused, r"dial tcp (?<it>\S+:\d+): connect: connection refused",
        "$it refuses the connection",
        "panic: dial tcp 10.0.9.9:6379: connect: connection refused",
        "dial tcp 10.0.9.9:6379 in 3 ms"),
    row(Refused, r"Connection to (?<it>\S+:\d+) refused",
        "$it refuses the connection",
        "org.postgresql.util.PSQLException: Connection to db.internal:5432 refused. Check that the hostname and port are correct and that the postmaster is accepting TCP/IP connections.",
        "Connection to db.internal:5432 established"),
    row(Refused, r"Connection refused \((?<it>[^()\s]+:\d+)\)",
        "$it refuses the connection",
        " ---> System.Net.Http.HttpRequestException: Connection refused (payments:8080)",
        "Connection closed (payments:8080)"),
    row(Refused, r"Could not connect to Redis at (?<it>\S+:\d+): Connection refused",
        "Redis at $it refuses the connection",
        "Could not connect to Redis at cache:6379: Connection refused",
        "Could connect to Redis at cache:6379"),
    row(Refused, r"Can't connect to (?:local )?(?:MySQL )?server (?:on|through socket) '(?<it>[^']+)'.*\((?:111|2)\b",
        "MySQL at $it refuses the connection",
        "sqlalchemy.exc.OperationalError: (pymysql.err.OperationalError) (2003, \"Can't connect to MySQL server on 'db.internal' ([Errno 111] Connection refused)\") (111)",
        "Can't connect to MySQL server on 'db.internal' (timed out)"),
    row(Refused, r"(?i:connection refused)",
        "something that it needs refuses the connection",
        "Error: Connection refused (os error 111)",
        "visitors refused cookies"),
    row(Silent, r#"connection to server at "(?<it>[^"]+)".*(?:timeout expired|timed out)"#,
        "Postgres at $it does not answer",
        r#"psycopg2.OperationalError: connection to server at "db.internal" (10.0.9.9), port 5432 failed: timeout expired"#,
        "statement timeout expired on server db.internal"),
    row(Silent, r"ETIMEDOUT (?<it>\S+:\d+)",
        "$it does not answer",
        "Error: connect ETIMEDOUT 10.0.9.9:5432",
        "errno: 'ETIMEDOUT',"),
    row(Silent, r"dial tcp (?<it>\S+:\d+): (?:i/o timeout|connect: connection timed out)",
        "$it does not answer",
        "dial tcp 10.0.9.9:5432: i/o timeout",
        "read tcp 10.0.11.37:51812->10.0.9.9:5432: use of closed connection"),
    row(Silent, r"Can't connect to (?:MySQL )?server on '(?<it>[^']+)'",
        "MySQL at $it does not answer",
        "ERROR 2003 (HY000): Can't connect to MySQL server on 'db.internal:3306' (110)",
        "connected to MySQL server on 'db.internal:3306'"),
    row(Silent, r"Communications link failure",
        "the database cannot be reached",
        "com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure",
        "communications with the printer failed over"),
    row(Silent, r"MongoServerSelectionError|MongoNetworkTimeoutError|ServerSelectionTimeoutError|MongoTimeoutException",
        "MongoDB does not answer",
        "pymongo.errors.ServerSelectionTimeoutError: docdb.internal:27017: timed out",
        "mongo server selected in 3 ms"),
    row(Silent, r"(?i:connect(?:ion)? timed out|timed? ?out (?:while )?(?:waiting for|connecting to) (?:the )?(?:database|postgres|mysql|redis|db)\b)",
        "something that it needs does not answer",
        "java.net.SocketTimeoutException: Connect timed out",
        "the session timed out"),

    // TLS.
    row(Tls, r"(?i:certificate has expired|CERT_HAS_EXPIRED|certificate has expired or is not yet valid)",
        "a TLS certificate has expired",
        "Error: certificate has expired",
        "the certificate expires in 12 days"),
    row(Tls, r"(?i:certificate verify failed|self[- ]signed certificate|unable to get (?:local )?issuer certificate|unable to verify the first certificate|PKIX path building failed|x509: certificate|remote certificate is invalid)",
        "a TLS certificate is not trusted",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "x509 support is compiled in"),
    row(Tls, r"SSLHandshakeException|tls: handshake failure|tlsv1 alert|wrong version number",
        "a TLS handshake fails",
        "javax.net.ssl.SSLHandshakeException: Received fatal alert: handshake_failure",
        "TLS handshake took 12 ms"),

    // Variables and settings that are missing.
    row(MissingVariable, r#"\b(?<it>[A-Z][A-Z0-9]*_[A-Z0-9_]+)\b["'`]? (?:(?:environment|env) var(?:iable)? )?(?:(?:is|was) (?:not (?:set|defined|configured|provided)|undefined|missing|required|unset|empty)|must be (?:set|defined|provided)|(?:not set|not defined|missing)\b)"#,
        "the variable $it is not set",
        "Error: DATABASE_URL is not set",
        "DATABASE_URL is set, MAX_RETRIES is 5"),
    row(MissingVariable, r#"(?i:missing|required|undefined|unset|no) (?i:required )?(?i:env(?:ironment)? var(?:iable)?s?):? ["'`]?(?<it>[A-Z][A-Z0-9_]+)"#,
        "the variable $it is not set",
        "Missing required environment variable: PORT",
        "no environment variables are read from .env"),
    row(MissingVariable, r#"(?i:env(?:ironment)? var(?:iable)?) ["'`]?(?<it>[A-Z][A-Z0-9_]+)["'`]? (?i:is not|not|must be|was not|is missing|is required|is undefined)"#,
        "the variable $it is not set",
        "environment variable PORT must be set",
        "environment variable PORT is 8080"),
    row(MissingVariable, r"KeyError: '(?<it>[A-Z][A-Z0-9_]{2,})'",
        "the variable $it is not set",
        "KeyError: 'DATABASE_URL'",
        "KeyError: 'user_id'"),
    row(MissingVariable, r#"key not found: "(?<it>[A-Z][A-Z0-9_]+)""#,
        "the variable $it is not set",
        r#"config.rb:3:in `fetch': key not found: "DATABASE_URL" (KeyError)"#,
        r#"key not found: "user_id""#),
    row(MissingVariable, r"(?<it>[A-Z][A-Z0-9_]+): (?:unbound variable|parameter (?:null or )?not set)",
        "the variable $it is not set",
        "/entrypoint.sh: line 4: DATABASE_URL: unbound variable",
        "DATABASE_URL: postgres"),
    row(MissingVariable, r"Could not resolve placeholder '(?<it>[^']+)'",
        "the property or variable $it is not set",
        r#"java.lang.IllegalArgumentException: Could not resolve placeholder 'DB_URL' in value "${DB_URL}""#,
        "resolved placeholder 'DB_URL'"),
    row(MissingVariable, r"`Err` value: NotPresent|: environment variable not found",
        "a variable is not set",
        "called `Result::unwrap()` on an `Err` value: NotPresent",
        "called `Result::unwrap()` on an `Err` value: ParseIntError"),
    row(MissingVariable, r"(?<it>SECRET_KEY) setting must not be empty",
        "Django's setting $it is empty",
        "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.",
        "SECRET_KEY setting was rotated"),
    row(MissingVariable, r"validation errors? for (?<it>\w*(?:Settings|Config)\w*)",
        "a variable for $it is missing or wrong",
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings",
        "1 validation error for OrderForm"),

    // What the image lacks.
    row(Runtime, r"UnsupportedClassVersionError: (?<it>\S+) has been compiled by a more recent version",
        "$it is compiled for a newer Java than the image has",
        r#"Exception in thread "main" java.lang.UnsupportedClassVersionError: com/example/Main has been compiled by a more recent version of the Java Runtime (class file version 65.0), this version of the Java Runtime only recognizes class file versions up to 61.0"#,
        "Main has been compiled by a more recent version of Kotlin"),
    row(Runtime, r"You must install or update \.NET to run|not possible to find any compatible framework version",
        "the image lacks the .NET runtime that the app needs",
        "You must install or update .NET to run this application.",
        "You should update .NET packages"),
    row(Runtime, r"version .(?<it>GLIBC\w*_[\d.]+). not found",
        "the image's C library is too old ($it is not there)",
        "/app/server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /app/server)",
        "GLIBC_2.34 found"),
    row(MissingModule, r"Cannot find (?:module|package) '(?<it>[^']+)'",
        "Node.js cannot find module '$it'",
        "Error: Cannot find module 'express'",
        "Cannot find module resolution cache, building it"),
    row(MissingModule, r"No module named '?(?<it>[\w.]+)",
        "Python cannot find module '$it'",
        "ModuleNotFoundError: No module named 'flask'",
        "module named flask was loaded"),
    row(MissingModule, r"ImportError: cannot import name '(?<it>[^']+)'",
        "Python cannot import '$it'",
        "ImportError: cannot import name 'url_quote' from 'werkzeug.urls' (/usr/local/lib/python3.12/site-packages/werkzeug/urls.py)",
        "ImportError: cannot handled by the fallback"),
    row(MissingModule, r"(?:ClassNotFoundException|NoClassDefFoundError|Could not find or load main class):? (?<it>[\w.$/]+)",
        "the JVM cannot find class $it",
        "Error: Could not find or load main class com.example.Main",
        "ignored ClassNotFoundException, using the default"),
    row(MissingModule, r"Unable to access jarfile (?<it>\S+)",
        "the image lacks the jar file $it",
        "Error: Unable to access jarfile /app/app.jar",
        "opened jarfile /app/app.jar"),
    row(MissingModule, r"cannot load such file -- (?<it>\S+)",
        "Ruby cannot load '$it'",
        "<internal:/usr/local/lib/ruby/3.3.0/rubygems/core_ext/kernel_require.rb>:136:in `require': cannot load such file -- sinatra (LoadError)",
        "loaded file -- sinatra"),
    row(MissingModule, r"Could not find (?<it>\S+) in (?:any of the sources|locally installed gems|your Gemfile)",
        "Bundler cannot find the gem $it",
        "Could not find rack-3.0.8 in locally installed gems (Bundler::GemNotFound)",
        "Could not find order 12 in the cache"),
    row(MissingModule, r"Could not load file or assembly '(?<it>[^,']+)",
        ".NET cannot load the assembly $it",
        "Unhandled exception. System.IO.FileNotFoundException: Could not load file or assembly 'Npgsql, Version=8.0.0.0, Culture=neutral, PublicKeyToken=5d8b90d52f46fda7'.",
        "loaded assembly 'Npgsql'"),
    row(MissingModule, r"application to execute does not exist: '(?<it>[^']+)'",
        "the image lacks $it",
        "The application to execute does not exist: '/app/Api.dll'.",
        "the application does not exist in the catalogue"),
    row(MissingModule, r"Failed opening required '(?<it>[^']+)'",
        "PHP cannot open '$it'",
        "PHP Fatal error:  Uncaught Error: Failed opening required 'vendor/autoload.php' (include_path='.:/usr/share/php')",
        "opening required 'vendor/autoload.php'"),
    row(MissingModule, r"(?<it>lib[\w.+-]+\.so[\w.]*): cannot open shared object file",
        "the image lacks the library $it",
        "/app/server: error while loading shared libraries: libpq.so.5: cannot open shared object file: No such file or directory",
        "loaded libpq.so.5"),
    row(MissingModule, r"^(?:\S*/)?(?:sh|bash|env|exec|[\w.-]+\.sh): (?:line )?(?:\d+: )?(?<it>[\w./@+-]+): (?:command )?not found$",
        "the image lacks the command $it",
        "/bin/sh: 1: gunicorn: not found",
        "GET /bash/api: page: not found by the router"),
    row(MissingModule, r"env: .(?<it>\w+)\\r.: No such file",
        "the start script has Windows line ends",
        r"/usr/bin/env: 'bash\r': No such file or directory",
        "env: PATH=/usr/bin"),
    row(MissingModule, r"exec (?<it>/\S+): no such file or directory",
        "the image lacks $it, or the interpreter that its first line names",
        "exec /docker-entrypoint.sh: no such file or directory",
        "open /tmp/cache: no such file or directory"),
    row(MissingModule, r"can't open file '(?<it>[^']+)'",
        "Python cannot open '$it'",
        "python: can't open file '/app/main.py': [Errno 2] No such file or directory",
        "opened file '/app/main.py'"),

    // Ports, files and disks.
    row(PortTaken, r"EADDRINUSE|(?i:address already in use)|Port \d+ was already in use",
        "a port that it wants is taken",
        "Error: listen EADDRINUSE: address already in use :::3000",
        "the address is already known"),
    row(LowPort, r"bind\(\) to \S*:\d{1,3} failed \(13|listen tcp \S*:\d{1,3}: bind: permission denied|listen EACCES: permission denied \S*:\d{1,3}\b",
        "it may not bind to a port below 1024",
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
        "listening on 0.0.0.0:80"),
    row(Permission, r"(?:EACCES: permission denied, \w+|\[Errno 13\] Permission denied:) '(?<it>[^']+)'",
        "it may not use '$it'",
        "PermissionError: [Errno 13] Permission denied: '/data/cache'",
        "granted: permission denied list is empty"),
    row(Permission, r"(?<it>/[\w./-]+)[:\s][^:]{0,40}[Pp]ermission denied",
        "it may not use $it",
        "exec /app/start.sh: permission denied",
        "GET /admin 403: permission denied for visitor 12"),
    row(ReadOnly, r"(?i:read-only file system)|\bEROFS\b",
        "it writes to a file system that is read-only",
        "OSError: [Errno 30] Read-only file system: '/app/tmp'",
        "mounted /data as read-only"),
    row(DiskFull, r"(?i:no space left on device)",
        "no space is left on its disk",
        "OSError: [Errno 28] No space left on device",
        "Error: ENOSPC: System limit for number of file watchers reached, watch '/app'"),
    row(Setting, r"nginx: \[emerg\] (?<it>.+)",
        "nginx refuses its configuration",
        r#"nginx: [emerg] unknown directive "proxy_passs" in /etc/nginx/conf.d/default.conf:4"#,
        "nginx: configuration file /etc/nginx/nginx.conf test is successful"),

    // Below here is what only says that it went wrong: whatever stands above has the word before
    // it.
    row(Migration, r"(?i:migrations? failed|failed to (?:run|apply) (?:the )?(?:database )?migrations?|migration of schema .* failed)|FlywayMigrateException|LiquibaseException|PendingMigrationError|\bP30(?:09|18)\b|Dirty database version",
        "a database migration fails",
        "Error: P3018: A migration failed to apply. New migrations cannot be applied before the error is recovered from.",
        "2 migrations applied, none failed"),
    row(Uncaught, r#"Exception in thread "[^"]+" (?<it>[\w.$]+)"#,
        "the JVM ends with an uncaught $it",
        r#"Exception in thread "main" java.lang.IllegalStateException: no orders"#,
        "Exceptions in thread pools are logged"),
    row(Uncaught, r"^Caused by: (?<it>[\w.$]+)",
        "the JVM ends with an uncaught $it",
        "Caused by: java.lang.IllegalStateException: no orders",
        "the delay was Caused by: rain"),
    row(Uncaught, r"A fatal error has been detected by the Java Runtime Environment",
        "the JVM itself crashes",
        "# A fatal error has been detected by the Java Runtime Environment:",
        "no fatal error has been detected"),
    row(Uncaught, r"Unhandled exception\. (?<it>[\w.]+)",
        ".NET ends with an unhandled $it",
        "Unhandled exception. System.InvalidOperationException: no orders",
        "Unhandled exceptions are reported to Sentry"),
    row(Uncaught, r"^panic: (?<it>.+)",
        "the Go program panics ($it)",
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "don't panic: it is only a test"),
    row(Uncaught, r"^fatal error: (?<it>.+)",
        "the Go runtime gives up ($it)",
        "fatal error: all goroutines are asleep - deadlock!",
        "no fatal error: all is well"),
    row(Uncaught, r"thread '[^']+' (?:\(\d+\) )?panicked at (?<it>[^\s,]+:\d+)",
        "the Rust program panics at $it",
        "thread 'main' panicked at src/main.rs:12:38:",
        "thread 'main' started"),
    row(Uncaught, r"terminate called after throwing an instance of '(?<it>[^']+)'",
        "it ends with an uncaught C++ $it",
        "terminate called after throwing an instance of 'std::runtime_error'",
        "terminate called by the operator"),
    row(Uncaught, r"Segmentation fault|double free or corruption|stack smashing detected",
        "it corrupts its own memory",
        "Segmentation fault (core dumped)",
        "segmentation of customers done"),
    row(Uncaught, r"PHP (?:Fatal|Parse) error:\s+(?:Uncaught )?(?<it>[\w\\]+(?: [\w\\]+)?)",
        "PHP ends with a fatal error ($it)",
        "PHP Parse error:  syntax error, unexpected token in /app/index.php on line 3",
        "PHP Warning:  Undefined variable $x in /app/index.php on line 3"),
    row(Uncaught, r"\((?<it>[A-Z]\w*(?:::\w+)*Error)\)\s*$",
        "Ruby ends with an uncaught $it",
        "/app/app.rb:3:in `<main>': undefined method `foo' for nil (NoMethodError)",
        "rescued (NoMethodError) and went on"),
    row(Uncaught, r"UnhandledPromiseRejection|ERR_UNHANDLED_REJECTION|[Uu]nhandled [Pp]romise [Rr]ejection",
        "Node.js ends with an unhandled rejection",
        r#"[UnhandledPromiseRejection: This error originated either by throwing inside of an async function without a catch block, or by rejecting a promise which was not handled with .catch(). The promise rejected with the reason "no orders".] { code: 'ERR_UNHANDLED_REJECTION' }"#,
        "the promise was not handled in time"),
    row(Uncaught, r"^(?:Uncaught )?(?:[\w.]+\.)?(?<it>[A-Z]\w*(?:Error|Exception))(?: \[\w+\])?: \S",
        "it ends with an uncaught $it",
        "ValueError: invalid literal for int() with base 10: 'x'",
        "logged ValueError: went on"),
    row(NotBooted, r"APPLICATION FAILED TO START|Application run failed",
        "the Spring application fails to start",
        "APPLICATION FAILED TO START",
        "Application started in 3.2 seconds"),
    row(NotBooted, r"Worker failed to boot",
        "gunicorn's workers fail to boot",
        "[2026-11-22 02:57:00 +0000] [1] [ERROR] Reason: Worker failed to boot.",
        "[INFO] Booting worker with pid: 7"),
    row(NotBooted, r"! Unable to (?:load application|start)",
        "Puma cannot load the application",
        "! Unable to load application: NameError: uninitialized constant Orders",
        "Puma starting in single mode..."),
    row(NotBooted, r"Traceback \(most recent call last\)",
        "Python ends with an uncaught exception",
        "Traceback (most recent call last):",
        "traceback sampling is on"),
];

#[expect(
    clippy::disallowed_methods,
    reason = "patterns that do not compile match nothing, and a test finds them"
)]
static SET: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(SIGNATURES.iter().map(|signature| signature.pattern)).ok());

/// The first signature in the table that a line bears, and what `it` is there.
pub(super) fn of(line: &str) -> Option<(&'static Signature, String)> {
    let index = SET.as_ref()?.matches(line).into_iter().next()?;
    let signature = SIGNATURES.get(index)?;
    Some((signature, it(signature, line)?))
}

fn it(signature: &Signature, line: &str) -> Option<String> {
    if !signature.words.contains("$it") {
        return Some(String::new());
    }
    let pattern: Option<Regex> = crate::text::pattern(signature.pattern);
    Some(
        pattern?
            .captures(line)?
            .name("it")
            .map_or_else(String::new, |found| found.as_str().to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert!(SET.is_some());
    }

    #[test]
    fn each_signature_knows_its_own_line() {
        for signature in SIGNATURES {
            let found = of(signature.example).map(|(found, _)| found.pattern);
            assert_eq!(found, Some(signature.pattern), "{}", signature.example);
        }
    }

    #[test]
    fn what_only_looks_like_it_is_no_crash() {
        for signature in SIGNATURES {
            let found = crate::text::pattern(signature.pattern).unwrap().is_match(signature.unlike);
            assert!(!found, "{} matches {}", signature.pattern, signature.unlike);
        }
    }

    #[test]
    fn words_name_nothing_that_the_pattern_does_not_find() {
        for signature in SIGNATURES {
            let (_, it) = of(signature.example).unwrap();
            assert_eq!(signature.words.contains("$it"), !it.is_empty(), "{}", signature.example);
            assert!(!signature.words.ends_with('.'), "{} is a clause", signature.words);
        }
    }
}
