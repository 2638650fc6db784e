//! The formats of access logs that are text, as data: to teach another one, add a row, and to the
//! test the lines that it has. A pattern begins at the beginning of the line, after the time and the
//! level that a logger may write before it. Loggers that write fields are read by their keys,
//! elsewhere; Rails writes a request and its answer in two lines, which nobody can put together.

use std::sync::LazyLock;

use regex::Regex;

use crate::text::pattern;

/// What a format is called, and its lines: `<ask>` is the method with the path, `<path>` the path
/// alone, `<code>` the answer, `<peer>` the address that asked. What a client may choose, such as
/// its user agent, stands behind the request in all of them.
const FORMATS: &[(&str, &str)] = &[
    (
        "common and combined: Apache, nginx, Tomcat, Jetty, Puma, Gunicorn, morgan",
        r#"(?:[\w.-]+:\d+ )?<peer>(?:, <peer>)* \S+ \S+ (?:\[[^\]"]*\] )?"<ask> HTTP/[0-9.]+" <code>"#,
    ),
    ("uvicorn and Hypercorn", r#"<peer>:\d+ (?:- )?"?<ask> (?:HTTP/)?[0-9.]+"? <code>"#),
    (
        "the method first: morgan's dev and tiny, Serilog, Go and Spring by hand",
        r"(?:HTTP )?<ask>(?: HTTP/[0-9.]+)?(?: -| ->| =>|:|,| responded)? <code>",
    ),
    ("morgan's short, Actix", r#"<peer> (?:\S+ )?"?<ask> HTTP/[0-9.]+"? <code>"#),
    (
        "Django's server, Envoy, chi",
        r#"(?:\[[^\]"]*\] )?"<ask>(?: HTTP/[0-9.]+)?"(?: from \S+ -)? <code>"#,
    ),
    (
        "Gin",
        r#"\[GIN\] [0-9/]+ - [0-9:]+ \| *<code> *\| *\S+ *\| *<peer> *\| *(?:GET|HEAD) +"<path>""#,
    ),
    ("Fiber", r"[0-9:]+ \| *<code> *\| *\S+ *\| *<peer> *\| *(?:GET|HEAD) *\| *<path> *(?:\||$)"),
    (
        "Application Load Balancer",
        r#"(?:https?|h2) \S+ app/\S+ <peer>:\d+ \S+ \S+ \S+ \S+ <code> \S+ \d+ \d+ "<ask> HTTP/[0-9.]+""#,
    ),
    ("PHP's server", r"\[[A-Za-z0-9: ]+\] <peer>:\d+ \[<code>\]: <ask>"),
    ("PHP-FPM", r#"<peer> - +\S* *[0-9]+/\w+/[0-9:]+ [+-][0-9]+ "<ask>" <code>"#),
    ("ASP.NET", r"Request finished HTTP/[0-9.]+ <ask>(?: \S+)?(?: \S+)? - <code>"),
];

/// What a logger writes before the line of an access log: the time, the level, the process and who
/// logs.
const LEAD: &[&str] = &[
    r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[0-9.,]*(?:Z| ?[+-]\d\d:?\d\d)?(?: #\d+)?(?: +<level> +[\w:.]+)?\]?",
    r"\[[0-9:.]+ [A-Z]{3}\]",
    r"\[?<level>\]?:?",
    r"\[\d+\]",
    // Ruby.
    r"[DIWE],|-- :",
    // Python.
    r"-(?: [\w.]+ -)?|(?:werkzeug|uvicorn\.access):",
    // Spring.
    r"\d+ --- \[[^\]\x22]*\] [\w.$\[\]/]+\s+:",
    // .NET, chi.
    r"[\w.]+\[\d+\]",
    r"\[[\w.-]+/\w+-\d{6}\]",
    // Colours.
    r"\x1b\[[0-9;]*m",
];

const LEVEL: &str = "(?i:trace|debug|info|information|notice|warn|warning|err|error|access)";
const PEER: &str = r"\[?(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]+)\]?";
const PATH: &str = r"(?:https?://[^\s/\x22]+)?(?<path>/[^\s\x22?#]*)(?:[?#][^\s\x22]*)?";
const CODE: &str = r"(?:\x1b\[[0-9;]*m)*(?<code>[1-5][0-9]{2})\b";

fn lead() -> String {
    format!(r"^(?:(?:{})\s*)*", LEAD.join("|")).replace("<level>", LEVEL)
}

fn compiled(line: &str) -> Option<Regex> {
    let line = line
        .replace("<ask>", "(?:GET|HEAD) <path>")
        .replace("<peer>", PEER)
        .replace("<path>", PATH)
        .replace("<code>", CODE);
    pattern(&format!("{}(?:{line})", lead()))
}

static COMPILED: LazyLock<Vec<Option<Regex>>> =
    LazyLock::new(|| FORMATS.iter().map(|(_, line)| compiled(line)).collect());
static LEAD_ALONE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(&lead()));
static PATH_ALONE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(&format!("^{PATH}$")));

/// The path and the code of a line of one of the formats.
pub(super) fn request(line: &str) -> Option<(&str, &str)> {
    COMPILED.iter().flatten().find_map(|format| {
        let found = format.captures(line)?;
        Some((found.name("path")?.as_str(), found.name("code")?.as_str()))
    })
}

/// The line without what a logger writes before it.
pub(super) fn without_lead(line: &str) -> &str {
    let end = LEAD_ALONE.as_ref().and_then(|lead| lead.find(line)).map_or(0, |lead| lead.end());
    line.get(end..).unwrap_or_default()
}

/// The path of a URL, or of a path with a query.
pub(super) fn path_of(url: &str) -> Option<&str> {
    Some(PATH_ALONE.as_ref()?.captures(url)?.name("path")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as the servers write them, by the number of their format.
    const LINES: &[(usize, &str, &str, &str)] = &[
        (
            0,
            r#"10.0.1.20 - - [22/Nov/2026:02:59:30 +0000] "GET / HTTP/1.1" 404 22 "-" "ELB-HealthChecker/2.0""#,
            "/",
            "404",
        ),
        (0, r#"10.0.1.20 - - "GET /health HTTP/1.1" 200 0 "-" "x""#, "/health", "200"),
        (
            0,
            r#"www.a.b:80 10.0.1.20 - bob [22/Nov/2026:02:59:30 +0000] "HEAD /up?x=1 HTTP/2.0" 503 1"#,
            "/up",
            "503",
        ),
        (
            0,
            r#"203.0.113.9, 10.0.1.20 - - [22/Nov/2026:02:59:30 +0000] "GET /a HTTP/1.1" 200 1"#,
            "/a",
            "200",
        ),
        (
            0,
            r#"::ffff:10.0.1.20 - - [22/Nov/2026:02:59:30 +0000] "GET /a HTTP/1.1" 200 1"#,
            "/a",
            "200",
        ),
        (
            0,
            r#"INFO:werkzeug:10.0.1.20 - - [22/Nov/2026 02:59:30] "GET /a HTTP/1.1" 200 -"#,
            "/a",
            "200",
        ),
        (
            0,
            r#"2026-11-22T02:59:30.123Z  INFO 1 --- [or-http-epoll-2] r.n.http.server.AccessLog : 10.0.1.20 - - [22/Nov/2026:02:59:30 +0000] "GET /actuator/health HTTP/1.1" 200 15"#,
            "/actuator/health",
            "200",
        ),
        (1, r#"INFO:     10.0.1.20:4312 - "GET /health HTTP/1.1" 200 OK"#, "/health", "200"),
        (
            1,
            r#"2026-11-22 02:59:30,123 - uvicorn.access - INFO - 10.0.1.20:4312 - "GET /x HTTP/1.1" 404"#,
            "/x",
            "404",
        ),
        (
            1,
            "[2026-11-22 02:59:30 +0000] [7] [INFO] 10.0.1.20:4312 GET /x 1.1 200 2 511",
            "/x",
            "200",
        ),
        (2, "GET /healthz?full=1 200 1.2 ms - 15", "/healthz", "200"),
        (2, "GET /healthz 200 15 - 1.2 ms", "/healthz", "200"),
        (2, "GET /healthz -> 500", "/healthz", "500"),
        (2, "\u{1b}[0mGET / \u{1b}[32m200\u{1b}[0m 1.2 ms - 15", "/", "200"),
        (2, "2026/11/22 02:59:30 GET /x 404", "/x", "404"),
        (2, "[02:59:30 INF] HTTP GET /x responded 200 in 1.2 ms", "/x", "200"),
        (
            2,
            "2026-11-22 02:59:30.123  INFO 1 --- [nio-8080-exec-1] c.e.Requests : GET /x 200",
            "/x",
            "200",
        ),
        (3, "10.0.1.20 - GET /x HTTP/1.1 200 15 - 1.2 ms", "/x", "200"),
        (
            3,
            r#"[2026-11-22T02:59:30Z INFO  actix_web::middleware::logger] 10.0.1.20 "GET /x HTTP/1.1" 200 2 "-""#,
            "/x",
            "200",
        ),
        (4, r#"[22/Nov/2026 02:59:30] "GET /x HTTP/1.1" 404 22"#, "/x", "404"),
        (4, r#"[2026-11-22T02:59:30.123Z] "GET /x HTTP/1.1" 200 - 0"#, "/x", "200"),
        (
            4,
            r#"2026/11/22 02:59:30 "GET http://10.0.1.20:8080/x HTTP/1.1" from 10.0.1.20:4312 - 404 19B in 22µs"#,
            "/x",
            "404",
        ),
        (
            4,
            r#"2026/11/22 02:59:30 [ip-10-0-1-21/Ab-000001] "GET http://a.b/x HTTP/1.1" from 10.0.1.20:1 - 200 9B"#,
            "/x",
            "200",
        ),
        (
            5,
            r#"[GIN] 2026/11/22 - 02:59:30 | 200 |     1.2ms |       10.0.1.20 | GET      "/health""#,
            "/health",
            "200",
        ),
        (
            6,
            "02:59:30 | 404 |     1.2ms | 10.0.1.20 | GET     | /health      | -",
            "/health",
            "404",
        ),
        (
            7,
            r#"http 2026-11-22T02:59:30.123456Z app/api/50dc6c495c0c9188 203.0.113.9:2817 10.0.1.21:8080 0.000 0.001 0.000 404 404 34 366 "GET http://a.b:80/x?y HTTP/1.1" "curl/7.46.0" - -"#,
            "/x",
            "404",
        ),
        (8, "[Sun Nov 22 02:59:30 2026] 10.0.1.20:4312 [200]: GET /health", "/health", "200"),
        (9, r#"10.0.1.20 -  22/Nov/2026:02:59:30 +0000 "GET /index.php" 200"#, "/index.php", "200"),
        (
            10,
            "Request finished HTTP/1.1 GET http://10.0.1.21/x - 200 - text/plain 1.2ms",
            "/x",
            "200",
        ),
        (
            10,
            "info: Microsoft.AspNetCore.Hosting.Diagnostics[2] Request finished HTTP/2 GET http://10.0.1.21/x - - - 404 0 - 1ms",
            "/x",
            "404",
        ),
    ];

    #[test]
    fn every_format_is_read_in_its_own_lines() {
        assert!(COMPILED.iter().all(Option::is_some));
        assert!(LEAD_ALONE.is_some() && PATH_ALONE.is_some());
        for (number, line, path, code) in LINES {
            assert_eq!(request(line), Some((*path, *code)), "{line}");
            let format = COMPILED[*number].as_ref().unwrap();
            assert!(format.is_match(line), "{} does not read {line}", FORMATS[*number].0);
        }
        for (number, format) in FORMATS.iter().enumerate() {
            let has_line = LINES.iter().any(|(of, ..)| *of == number);
            assert!(has_line, "{} has no line", format.0);
        }
    }

    /// A user agent, a user's name or a referrer that looks like a request, and other lines.
    const UNLIKE: &[&str] = &[
        r#"10.0.1.20 - - [22/Nov/2026:02:59:30 +0000] "POST / HTTP/1.1" 404 22 "-" "GET /evil/health 200""#,
        r#"10.0.1.20 - - [22/Nov/2026:02:59:30 +0000] "-" 400 0 "-" "GET /evil/health HTTP/1.1" 200"#,
        r#"the user agent was "GET /evil/health HTTP/1.1" 200"#,
        r#"a client - "GET /evil/health HTTP/1.1" 200"#,
        r#"10.0.1.20 POST /orders 200 "GET /evil/health 200""#,
        "ua: GET /evil/health 200",
        "we called GET /orders 200",
        "forward: GET http://a.b/evil 200 times",
        "GET health 200",
        "GET /evil/health took 200 ms",
        "DELETE /orders 200",
        "Started GET \"/health\" for 10.0.1.20",
        "Completed 200 OK in 5ms",
        "[200]: GET /evil",
        "GET /health 2000",
    ];

    #[test]
    fn what_only_looks_like_a_request_is_none() {
        for line in UNLIKE {
            assert_eq!(request(line), None, "{line}");
        }
    }
}
