//! The texts of an array, one behind the other: vocabularies have hundreds of thousands, and a
//! piece of memory for each would be several times as large.

/// Texts in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GgufTexts {
    joined: String,
    /// Where each text ends.
    ends: Vec<usize>,
}

impl GgufTexts {
    /// Room for `n` texts.
    pub(super) fn with_capacity(n: usize) -> Self {
        Self {
            joined: String::new(),
            ends: Vec::with_capacity(n),
        }
    }

    /// Adds a text behind the others.
    pub(super) fn push(&mut self, text: &str) {
        self.joined.push_str(text);
        self.ends.push(self.joined.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text at a place, `None` beyond the last.
    pub fn get(&self, idx: usize) -> Option<&str> {
        let end = *self.ends.get(idx)?;
        let start = match idx {
            0 => 0,
            _ => self.ends[idx - 1],
        };
        Some(&self.joined[start..end])
    }

    /// All texts.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|idx| self.get(idx).expect("the place is below the length"))
    }

    /// Bytes that are held for them.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.joined.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

impl<T: AsRef<str>> FromIterator<T> for GgufTexts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut joined = Self::default();
        for text in texts {
            joined.push(text.as_ref());
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_order_and_borders() {
        let texts: GgufTexts = ["a", "", "日本"].into_iter().collect();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "", "日本"]);
        assert_eq!((texts.get(1), texts.get(3)), (Some(""), None));
        assert!(!texts.is_empty() && GgufTexts::default().is_empty());
        let others: GgufTexts = ["a日", "", "本"].into_iter().collect();
        assert_ne!(texts, others);
    }
}
