//! Versions of the programs that the sandbox is built on.

/// Major and minor number of a dotted version, or `None` if it does not start with two numbers.
pub(crate) fn major_minor(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers_and_not_as_text() {
        assert!(major_minor("0.10.1").unwrap() > major_minor("0.7.0").unwrap());
        assert_eq!(major_minor("3.13.0rc1"), Some((3, 13)));
        assert_eq!(major_minor("unknown"), None);
    }
}
