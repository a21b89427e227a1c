//! JSON whose numbers are read to the last bit: `serde_json` alone may be one unit in the last place
//! off, and the largest weight of a symmetric group lies exactly between two codes.

use serde_json::Value;

/// Parses JSON; numbers become strings of their digits.
pub(crate) fn parse(text: &str) -> Value {
    let mut quoted = String::with_capacity(2 * text.len());
    let (mut in_string, mut in_number, mut is_escaped) = (false, false, false);
    for c in text.chars() {
        let is_number = !in_string && matches!(c, '0'..='9' | '+' | '-' | '.')
            || in_number && matches!(c, 'e' | 'E');
        if is_number != in_number {
            quoted.push('"');
            in_number = is_number;
        }
        if c == '"' && !is_escaped {
            in_string = !in_string;
        }
        is_escaped = c == '\\' && !is_escaped;
        quoted.push(c);
    }
    serde_json::from_str(&quoted).unwrap()
}

/// A number.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// A whole number.
pub(crate) fn whole(value: &Value) -> usize {
    value.as_str().unwrap().parse().unwrap()
}

/// All numbers of nested lists, row by row.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        Value::Bool(value) => vec![f64::from(*value)],
        _ => vec![number(value)],
    }
}
