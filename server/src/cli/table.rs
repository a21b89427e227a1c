//! Columns of text.

/// Lines up `rows` below `headers`, with two blanks between columns.
pub(super) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let headers: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
    let lines = || std::iter::once(&headers).chain(rows);
    let widths: Vec<usize> = (0..headers.len())
        .map(|idx| {
            lines()
                .map(|line| line[idx].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["é".to_owned(), "1".to_owned()],
            vec!["long".into(), "2".into()],
        ];
        assert_eq!(table(&["a", "b"], &rows), "a     b\né     1\nlong  2\n");
    }
}
