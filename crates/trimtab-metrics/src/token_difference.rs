//! The first token in which two answers differ.

use trimtab_domain::{CompletionScore, TokenDifference, TokenPiece};

/// Where the tokens of two answers part; `None` where the tokens of one were not kept, or both are
/// the same.
pub fn token_difference(
    base: &CompletionScore,
    variant: &CompletionScore,
) -> Option<TokenDifference> {
    let (ours, theirs) = (&base.detail.tokens.ids, &variant.detail.tokens.ids);
    if ours.is_empty() || theirs.is_empty() || ours == theirs {
        return None;
    }
    let pairs = ours.iter().zip(theirs);
    let n_same = pairs.take_while(|(one, other)| one == other).count();
    Some(TokenDifference {
        n_same: n_same as u32,
        base: piece(base, n_same),
        variant: piece(variant, n_same),
    })
}

/// What the token at `idx` adds to the text. Tokens come from the store: an end that does not fit
/// the text gives an empty piece.
fn piece(score: &CompletionScore, idx: usize) -> TokenPiece {
    let tokens = &score.detail.tokens;
    let end_of = |idx: usize| tokens.ends.get(idx).map(|end| *end as usize);
    let start = idx.checked_sub(1).map_or(Some(0), end_of);
    let text = start
        .zip(end_of(idx))
        .and_then(|(start, end)| score.completion.get(start..end));
    TokenPiece {
        id: tokens.ids.get(idx).copied(),
        text: text.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flips::tests::score;
    use trimtab_domain::AnswerTokens;

    fn answer(text: &str, ids: &[u32], ends: &[u32]) -> CompletionScore {
        let mut score = score("m:f16", "1", true, text);
        score.detail.tokens = AnswerTokens {
            ids: ids.to_vec(),
            ends: ends.to_vec(),
        };
        score
    }

    #[test]
    fn the_tokens_that_part_are_shown_with_their_text() {
        let base = answer("return a + b", &[1, 2, 3, 4], &[6, 8, 10, 12]);
        let variant = answer("return a - b", &[1, 2, 9, 4], &[6, 8, 10, 12]);
        let got = token_difference(&base, &variant).unwrap();
        assert_eq!(got.n_same, 2);
        assert_eq!(
            (got.base.text.as_str(), got.variant.text.as_str()),
            (" +", " -")
        );
        assert_eq!((got.base.id, got.variant.id), (Some(3), Some(9)));
    }

    #[test]
    fn an_answer_that_ends_earlier_parts_at_its_end() {
        let base = answer("a b", &[1, 2], &[1, 3]);
        let variant = answer("a", &[1], &[1]);
        let got = token_difference(&base, &variant).unwrap();
        assert_eq!((got.n_same, got.variant.id), (1, None));
        assert_eq!(
            (got.base.text.as_str(), got.variant.text.as_str()),
            (" b", "")
        );
    }

    #[test]
    fn nothing_is_said_without_tokens_or_a_difference() {
        let base = answer("a", &[1], &[1]);
        assert_eq!(token_difference(&base, &base), None);
        assert_eq!(token_difference(&base, &answer("b", &[], &[])), None);
        // Ends that do not fit the text are not followed.
        let broken = answer("é", &[7], &[1]);
        assert_eq!(token_difference(&base, &broken).unwrap().variant.text, "");
    }
}
