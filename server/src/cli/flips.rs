//! `trimtab runs flips`: the problems that one side passed and the other failed, with both answers.

use super::{context::Context, runs::parse_run_id};
use clap::Args;
use serde::Serialize;
use trimtab_domain::{
    CompletionScore, Failure, Flip, Flips, RunId, TokenDifference, TokenPiece, VariantName,
};

/// Options of `flips`.
#[derive(Debug, Args)]
pub(super) struct FlipsArgs {
    /// The run.
    #[arg(value_parser = parse_run_id)]
    run: RunId,
    /// Only the flips of this variant [default: of all but the baseline].
    #[arg(long, value_name = "A")]
    variant: Option<VariantName>,
    /// Show both answers whole, and not only where they part.
    #[arg(long)]
    answers: bool,
}

/// One variant's flips, as JSON.
#[derive(Debug, Serialize)]
struct VariantFlips {
    variant: VariantName,
    #[serde(flatten)]
    flips: Flips,
}

/// Shows the flips.
pub(super) async fn run(arguments: FlipsArgs, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let spec = service.run(arguments.run).await?.spec;
    let variants = match arguments.variant {
        Some(variant) => vec![variant],
        None => spec.variants,
    };
    let mut all = Vec::new();
    for variant in variants {
        if variant != spec.baseline {
            let flips = service.flips(arguments.run, variant.clone()).await?;
            all.push(VariantFlips { variant, flips });
        }
    }
    if all.is_empty() {
        let message = format!("`{}` is what the others are compared with", spec.baseline);
        return Err(Failure::bad_input(message).with_hint("name another variant of the run"));
    }
    context.output.answer(&all, || {
        let told = all
            .iter()
            .map(|of| describe(of, &spec.baseline, arguments.answers));
        told.collect::<Vec<_>>().join("\n")
    })
}

fn describe(of: &VariantFlips, baseline: &VariantName, is_whole: bool) -> String {
    let Flips {
        lost,
        won,
        n_compared,
        n_unpaired,
    } = &of.flips;
    let unpaired = match n_unpaired {
        0 => String::new(),
        n => format!(" ({n} answers have no counterpart)"),
    };
    let each = lost.iter().chain(won);
    let each: Vec<String> = each.map(|flip| describe_flip(flip, is_whole)).collect();
    format!(
        "{} against {baseline}: lost {} and won {} of {n_compared} problems{unpaired}\n{}",
        of.variant,
        lost.len(),
        won.len(),
        each.concat()
    )
}

fn describe_flip(flip: &Flip, is_whole: bool) -> String {
    let Flip {
        base,
        variant,
        n_same_chars,
        first_difference,
    } = flip;
    let n_same = *n_same_chars as usize;
    let tokens = first_difference
        .as_ref()
        .map_or_else(String::new, token_words);
    let head = format!(
        "\n{} of {}: {} before, {} now; the answers part after {n_same} characters{tokens}\n",
        base.problem_id,
        base.suite,
        base.verdict.as_str(),
        variant.verdict.as_str()
    );
    let sides = [("before", base), ("now", variant)].map(|(side, score)| {
        let answer = match is_whole {
            true => score.completion.as_str(),
            false => line_at(&score.completion, n_same),
        };
        side_text(side, answer, score)
    });
    head + &sides.concat()
}

/// The first token in which both differ.
fn token_words(difference: &TokenDifference) -> String {
    let word = |piece: &TokenPiece| match (piece.id, piece.text.as_str()) {
        (None, _) => "the end".to_owned(),
        (Some(id), "") => format!("token {id}"),
        (Some(_), text) => format!("{text:?}"),
    };
    format!(
        ", in token {}: {} became {}",
        difference.n_same + 1,
        word(&difference.base),
        word(&difference.variant)
    )
}

fn side_text(side: &str, answer: &str, score: &CompletionScore) -> String {
    let output = match score.output.trim() {
        "" => String::new(),
        output => format!("  output {side}:\n{}", indented(output)),
    };
    format!("  answer {side}:\n{}{output}", indented(answer))
}

/// The line in which the character with this index stands; the last one if there is none.
fn line_at(text: &str, char_idx: usize) -> &str {
    let found = text.char_indices().nth(char_idx);
    let at = found.map_or(text.len(), |(byte_idx, _)| byte_idx);
    let start = text[..at].rfind('\n').map_or(0, |idx| idx + 1);
    let end = text[at..].find('\n').map_or(text.len(), |idx| at + idx);
    &text[start..end]
}

/// Each line set off, without what could steer a terminal.
fn indented(text: &str) -> String {
    let line = |line: &str| {
        let plain = line.chars().filter(|c| *c == '\t' || !c.is_control());
        format!("    {}\n", plain.collect::<String>())
    };
    text.split('\n').map(line).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_in_which_answers_part_is_found() {
        let text = "def f(x):\n    return ä + 1\n";
        assert_eq!(line_at(text, 0), "def f(x):");
        assert_eq!(line_at(text, 9), "def f(x):");
        assert_eq!(line_at(text, 10), "    return ä + 1");
        assert_eq!(line_at(text, 22), "    return ä + 1");
        assert_eq!(line_at(text, 99), "");
        assert_eq!(line_at("", 0), "");
    }

    #[test]
    fn answers_cannot_steer_the_terminal() {
        assert_eq!(indented("a\u{1b}[2J\r\n\tb"), "    a[2J\n    \tb\n");
    }
}
