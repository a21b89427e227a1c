//! Stop strings: text is held back while it may still become one.

/// Watches streamed text for stop strings.
#[derive(Clone, Debug)]
pub struct StopStrings {
    strings: Vec<String>,
    held: String,
}

impl StopStrings {
    /// Watches for `strings`; empty ones are ignored.
    pub fn new(strings: Vec<String>) -> Self {
        Self {
            strings: strings.into_iter().filter(|s| !s.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// Takes the next piece of text; returns what is safe to show, and whether a stop string came.
    ///
    /// The stop string itself and what follows are never shown.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let first = self
            .strings
            .iter()
            .filter_map(|stop| self.held.find(stop))
            .min();
        if let Some(at) = first {
            let shown = self.held[..at].to_owned();
            self.held.clear();
            return (shown, true);
        }
        let keep_from = self.held.len() - self.longest_open_suffix();
        let rest = self.held.split_off(keep_from);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, once no more text comes.
    pub fn finish(self) -> String {
        self.held
    }

    /// Length of the longest end of the text that begins a stop string.
    fn longest_open_suffix(&self) -> usize {
        let open = |stop: &String| {
            (1..stop.len())
                .rev()
                .filter(|len| stop.is_char_boundary(*len))
                .find(|len| self.held.ends_with(&stop[..*len]))
        };
        self.strings.iter().filter_map(open).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stops: &[&str], pieces: &[&str], shown: &str, stopped: bool) {
        let mut stop = StopStrings::new(stops.iter().map(|s| (*s).to_owned()).collect());
        let mut seen = String::new();
        for piece in pieces {
            let (text, found) = stop.push(piece);
            seen.push_str(&text);
            if found {
                assert_eq!((seen.as_str(), true), (shown, stopped));
                return;
            }
        }
        seen.push_str(&stop.finish());
        assert_eq!((seen.as_str(), false), (shown, stopped));
    }

    #[test]
    fn a_stop_string_split_over_pieces_is_cut_out() {
        check(&["\ndef"], &["a\n", "d", "ef x"], "a", true);
        check(&["\ndef"], &["a\n", "de", "lay"], "a\ndelay", false);
    }

    #[test]
    fn the_earliest_of_several_wins() {
        check(&["zz", "b"], &["abzz"], "a", true);
    }

    #[test]
    fn text_that_only_begins_a_stop_string_is_shown_at_the_end() {
        check(&["END"], &["the E"], "the E", false);
        check(&["é!"], &["caf", "é"], "café", false);
        check(&[], &["x"], "x", false);
    }
}
