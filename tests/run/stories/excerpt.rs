//! What of a report a story is about: the sections and rows of the text that it shows, and the
//! findings of the JSON that its diagnosis lists. The words of a console block's fence choose; how
//! a story is read, run and written is not known here.

use serde_json::Value;

/// What a console block shows of a diagnosis.
pub struct About<'a> {
    whole: bool,
    /// Sections, by how their headings begin.
    sections: Vec<&'a str>,
    /// Checks of which a risk or a note is told.
    checks: Vec<&'a str>,
}

impl<'a> About<'a> {
    /// From the words after ```` ```console ````: none, ` whole`, or ` with ` and names.
    pub fn read(words: &'a str) -> Result<About<'a>, String> {
        let named = match words.strip_prefix(" with ") {
            Some(names) => names.split(", ").collect(),
            None if ["", " whole"].contains(&words) => Vec::new(),
            None => return Err(format!("```console{words}: say nothing, `whole`, or `with …`")),
        };
        let (checks, sections) =
            named.into_iter().partition(|name| checks::catalog::find(name).is_some());
        Ok(About { whole: words == " whole", sections, checks })
    }

    /// The sections and rows of the text report that the story is about, as they stand there.
    pub fn excerpt(&self, report: &str, service: &Value) -> Result<String, String> {
        if self.whole {
            return Ok(report.to_owned());
        }
        let missing = self.sections.iter().chain(&self.checks).find(|name| {
            let begins = |section: &&str| section.starts_with(**name);
            !sections(report).iter().any(begins) && !finds(service, name)
        });
        if let Some(name) = missing {
            return Err(format!("the report has neither a section nor a finding {name}"));
        }
        let mut told = Vec::new();
        let mut first = true;
        for (number, section) in sections(report).into_iter().enumerate() {
            if number == 1 {
                told.push(self.headline(section, service));
            } else if section.starts_with("CAUSE, ") || section.starts_with("UNEXPLAINED, ") {
                told.push(if first { section.to_owned() } else { without_proof(section) });
                first = false;
            } else if self.sections.iter().any(|name| section.starts_with(name)) {
                told.push(section.to_owned());
            } else {
                told.extend(self.rows(section));
            }
        }
        Ok(told.iter().map(|part| format!("{}\n", part.trim_end())).collect::<Vec<_>>().join("\n"))
    }

    /// The headline, unless it tells of a risk that the story is not about.
    fn headline(&self, headline: &str, service: &Value) -> String {
        let root = &service["roots"][0];
        let said = service["headline"].as_str().and_then(|says| says.split_once(". "));
        let of_root = said.is_some_and(|(_, rest)| text(&root["says"]).starts_with(rest));
        match headline.split_once("  ") {
            Some((verdict, _)) if of_root && !self.lists(root) => format!("{verdict}  …"),
            _ => headline.to_owned(),
        }
    }

    /// The rows of a table of risks, or the items of a list of notes, that the story names.
    fn rows(&self, section: &str) -> Option<String> {
        let mut lines = section.lines();
        let heading = lines.next()?;
        let mut rows: Vec<Vec<&str>> = Vec::new();
        for line in lines {
            match rows.last_mut() {
                Some(row) if !line.starts_with("- ") && !line.starts_with(['─', '═']) => {
                    row.push(line)
                }
                _ => rows.push(vec![line]),
            }
        }
        // Of a risk the line has its border before it.
        let of_check = |row: &Vec<&str>, check: &str| {
            row.iter().any(|line| line.ends_with(&format!("  {check}")))
                || row.last().is_some_and(|line| line.ends_with(&format!("({check})")))
        };
        let named = rows.iter().filter(|row| self.checks.iter().any(|check| of_check(row, check)));
        let kept: Vec<&str> =
            named.flatten().copied().filter(|line| !line.starts_with(['─', '═'])).collect();
        (!kept.is_empty()).then(|| [&[heading], &kept[..]].concat().join("\n"))
    }

    /// The verdict, and the findings that the story is about, each with the tree of what it
    /// explains.
    pub fn diagnosis(&self, service: &Value) -> String {
        let mut lines = vec![text(&service["verdict"]).to_owned()];
        for finding in items(&service["roots"]).chain(items(&service["notes"])) {
            if self.lists(finding) {
                lines.push(format!("{} {}", text(&finding["standing"]), text(&finding["check"])));
                tree(finding, "", &mut lines);
            }
        }
        lines.join("\n")
    }

    /// Whether the diagnosis lists a root or a note: causes, unexplained symptoms and what is of
    /// more than low severity always, all else where the story names it.
    fn lists(&self, finding: &Value) -> bool {
        let suffers = ["cause", "unexplained"].contains(&text(&finding["standing"]));
        let chain = chain(finding);
        let grave = chain.iter().any(|part| !["low", "info"].contains(&text(&part["severity"])));
        let named = chain.iter().any(|part| self.checks.contains(&text(&part["check"])));
        self.whole || suffers || grave || named
    }
}

/// The parts of a text report. Each begins, after an empty line, with a line that is not indented;
/// only the ways of a request, which are one part, have such lines inside.
fn sections(report: &str) -> Vec<&str> {
    let begins = |at: &usize| {
        let rest = &report[at + 2..];
        !rest.starts_with([' ', '\n']) && !rest.starts_with("http")
    };
    let cuts: Vec<usize> = report.match_indices("\n\n").map(|(at, _)| at).filter(begins).collect();
    let starts = std::iter::once(0).chain(cuts.iter().map(|at| at + 2));
    let ends = cuts.iter().copied().chain([report.len()]);
    starts.zip(ends).map(|(start, end)| &report[start..end]).collect()
}

/// A cause without its evidence and its fix, which come last.
fn without_proof(section: &str) -> String {
    section.split("\n\n  Evidence\n").next().unwrap_or(section).to_owned()
}

fn finds(service: &Value, check: &str) -> bool {
    let all = items(&service["roots"]).chain(items(&service["notes"]));
    all.flat_map(chain).any(|finding| finding["check"] == check)
}

/// A finding and all that follows from it.
fn chain(finding: &Value) -> Vec<&Value> {
    std::iter::once(finding).chain(items(&finding["explains"]).flat_map(chain)).collect()
}

/// One line for each finding that another explains. That it is a symptom goes without saying.
fn tree(finding: &Value, indent: &str, lines: &mut Vec<String>) {
    let mut effects = items(&finding["explains"]).peekable();
    while let Some(effect) = effects.next() {
        let (branch, trunk) =
            if effects.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
        let check = text(&effect["check"]);
        lines.push(match text(&effect["standing"]) {
            "symptom" => format!("{indent}{branch}{check}"),
            standing => format!("{indent}{branch}{standing} {check}"),
        });
        tree(effect, &format!("{indent}{trunk}"), lines);
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
