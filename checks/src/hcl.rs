//! Terraform/OpenTofu code as a value. It is written as a template that looks like the code, with a
//! `{}` for each value; a value is rendered as HCL has it, and escaped here, once, so that nothing
//! that came from AWS can end a string or begin an expression.

use std::fmt;

/// Makes [`Hcl`] from a template. At a `{}` a text becomes a string literal, within quotes its
/// inside; numbers, booleans, lists and [`Name`]s are rendered as such. The code may be indented as
/// the Rust code around it.
#[macro_export]
macro_rules! hcl {
    ($template:literal $(, $value:expr)* $(,)?) => {{
        const { $crate::command::holes($template, &[$( stringify!($value) ),*]) };
        $crate::hcl::Hcl::new($template, &[$( $crate::hcl::Value::rendered(&$value) ),*])
    }};
}

/// A piece of Terraform/OpenTofu code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hcl(String);

/// A value as it stands in code, and within a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    code: String,
    within: String,
}

/// What can stand at a `{}` of a template.
pub trait Value {
    fn rendered(&self) -> Rendered;
}

/// The name of a resource in an address such as `aws_lb.{}.arn`: whatever it was, an identifier.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a>(pub &'a str);

impl Value for Name<'_> {
    fn rendered(&self) -> Rendered {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let mut code: String = self.0.chars().map(plain).collect();
        if !code.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            code.insert(0, '_');
        }
        Rendered { within: code.clone(), code }
    }
}

impl Value for Hcl {
    fn rendered(&self) -> Rendered {
        Rendered { code: self.0.clone(), within: escaped(&self.0) }
    }
}

impl Value for str {
    fn rendered(&self) -> Rendered {
        let within = escaped(self);
        Rendered { code: format!("\"{within}\""), within }
    }
}

impl Value for String {
    fn rendered(&self) -> Rendered {
        self.as_str().rendered()
    }
}

impl<T: Value + ?Sized> Value for &T {
    fn rendered(&self) -> Rendered {
        (**self).rendered()
    }
}

impl<T: Value> Value for [T] {
    fn rendered(&self) -> Rendered {
        let items: Vec<String> = self.iter().map(|item| item.rendered().code).collect();
        let code = format!("[{}]", items.join(", "));
        Rendered { within: code.clone(), code }
    }
}

impl<T: Value> Value for Vec<T> {
    fn rendered(&self) -> Rendered {
        self.as_slice().rendered()
    }
}

macro_rules! numbers {
    ($( $kind:ty ),*) => {
        $( impl Value for $kind {
            fn rendered(&self) -> Rendered {
                Rendered { code: self.to_string(), within: self.to_string() }
            }
        } )*
    };
}
numbers!(i32, i64, u16, u32, u64, usize, f64, bool);

/// Whether a line of code ends within a string literal.
fn ends_in_string(line: &str) -> bool {
    let (mut within, mut letters) = (false, line.chars());
    while let Some(c) = letters.next() {
        match c {
            '"' => within = !within,
            '\\' if within => {
                letters.next();
            }
            _ => {}
        }
    }
    within
}

/// The inside of a string literal: nothing ends it, nothing is evaluated.
fn escaped(text: &str) -> String {
    let mut inside = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => inside.push_str("\\\""),
            '\\' => inside.push_str("\\\\"),
            '\n' => inside.push_str("\\n"),
            '\r' => inside.push_str("\\r"),
            '\t' => inside.push_str("\\t"),
            '$' | '%' if rest.peek() == Some(&'{') => inside.extend([c, c]),
            c => inside.push(c),
        }
    }
    inside
}

impl Hcl {
    /// For [`hcl!`], which counts the values.
    pub fn new(template: &'static str, values: &[Rendered]) -> Hcl {
        let template = dedented(template);
        let mut code = String::new();
        let mut values = values.iter();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once("{}") {
            code.push_str(before);
            rest = after;
            let Some(value) = values.next() else { continue };
            let line = code.rsplit('\n').next().unwrap_or_default();
            if ends_in_string(line) {
                code.push_str(&value.within);
            } else if value.code.is_empty() && line.trim().is_empty() && rest.starts_with('\n') {
                // A line that has nothing is none.
                code.truncate(code.len() - line.len());
                rest = rest.get(1..).unwrap_or_default();
            } else {
                let indent = format!("\n{}", " ".repeat(line.len() - line.trim_start().len()));
                code.push_str(&value.code.replace('\n', &indent));
            }
        }
        code.push_str(rest);
        Hcl(code)
    }

    /// Pieces in lines of their own.
    pub fn lines(pieces: impl IntoIterator<Item = Hcl>) -> Hcl {
        Hcl::joined(pieces, "\n")
    }

    /// Pieces with an empty line between them.
    pub fn blocks(pieces: impl IntoIterator<Item = Hcl>) -> Hcl {
        Hcl::joined(pieces, "\n\n")
    }

    fn joined(pieces: impl IntoIterator<Item = Hcl>, between: &str) -> Hcl {
        Hcl(pieces.into_iter().map(|piece| piece.0).collect::<Vec<_>>().join(between))
    }

    /// Whether the code has this text.
    pub fn contains(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The template without the indentation that all its lines have in common.
fn dedented(template: &str) -> String {
    let lines: Vec<&str> = template.trim_matches('\n').trim_end().lines().collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let common = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min();
    let lines = lines.iter().map(|line| line.get(common.unwrap_or(0)..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Hcl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_looks_like_the_code() {
        let code = hcl!(
            r#"
            resource "aws_lb_target_group" {} {
              health_check { path = {} }
              tags = {} # {}
            }"#,
            "api",
            "/health",
            vec!["a", "b"],
            3
        );
        assert_eq!(
            code.as_str(),
            "resource \"aws_lb_target_group\" \"api\" {\n  health_check { path = \"/health\" }\n  tags = [\"a\", \"b\"] # 3\n}"
        );
    }

    #[test]
    fn nothing_ends_a_string_or_is_evaluated() {
        for (value, inside) in
            [("a\"b", "a\\\"b"), ("${x}", "$${x}"), ("%{if}", "%%{if}"), ("\\", "\\\\"), ("$", "$")]
        {
            assert_eq!(hcl!("a = {}", value).as_str(), format!("a = \"{inside}\""));
            assert_eq!(hcl!("a = \"x-{}-y\"", value).as_str(), format!("a = \"x-{inside}-y\""));
            let two = hcl!("a = [{}, {}]", value, value);
            assert_eq!(two.as_str(), format!("a = [\"{inside}\", \"{inside}\"]"));
        }
    }

    #[test]
    fn a_name_is_an_identifier() {
        assert_eq!(hcl!("aws_lb.{}.arn", Name("1-a.b")).as_str(), "aws_lb._1_a_b.arn");
        assert_eq!(hcl!("\"aws_lb\" \"{}\"", Name("web-alb")).as_str(), "\"aws_lb\" \"web_alb\"");
    }

    #[test]
    fn code_can_hold_code() {
        let inner = hcl!("x = {}", 1);
        assert_eq!(hcl!("a {\n  {}\n}", inner.clone()).as_str(), "a {\n  x = 1\n}");
        let two = Hcl::lines([inner.clone(), inner.clone()]);
        assert_eq!(hcl!("a {\n  {}\n}", two).as_str(), "a {\n  x = 1\n  x = 1\n}");
        assert_eq!(hcl!("a {\n  {}\n}", Hcl::default()).as_str(), "a {\n}");
        assert_eq!(Hcl::blocks([inner.clone(), inner]).as_str(), "x = 1\n\nx = 1");
    }
}
