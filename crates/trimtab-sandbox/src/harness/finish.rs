
/// Runs last, since the tests run one by one in the order of their names.
#[cfg(test)]
mod zzzz_trimtab {
    #[test]
    fn zzzz_finish() {
        use std::io::{Read, Write};
        let mut word = String::new();
        std::io::stdin().read_to_string(&mut word).unwrap();
        let line = format!("\n@trimtab {}\n", word.trim());
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        std::io::stdout().flush().unwrap();
    }
}
