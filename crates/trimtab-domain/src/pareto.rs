//! The Pareto frontier: variants that no other beats on every chosen axis.

use serde::{Deserialize, Serialize};

/// Which end of an axis is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

impl Direction {
    /// Whether `a` is at least as good as `b`.
    fn no_worse(self, a: f64, b: f64) -> bool {
        match self {
            Self::Lower => a <= b,
            Self::Higher => a >= b,
        }
    }
}

/// Indices of the points that no other point dominates, in input order.
///
/// A point dominates another when it is no worse on every axis and better on one.
/// Equal points do not dominate each other, so duplicates stay together.
///
/// # Panics
///
/// If a point has another number of coordinates than `directions`.
pub fn pareto_frontier(points: &[Vec<f64>], directions: &[Direction]) -> Vec<usize> {
    let dominates = |a: &[f64], b: &[f64]| {
        let no_worse = directions
            .iter()
            .zip(a)
            .zip(b)
            .all(|((d, x), y)| d.no_worse(*x, *y));
        no_worse && a != b
    };
    assert!(
        points.iter().all(|point| point.len() == directions.len()),
        "one value per axis"
    );
    (0..points.len())
        .filter(|&idx| !points.iter().any(|other| dominates(other, &points[idx])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Higher, Lower};

    #[test]
    fn frontier_drops_dominated_points() {
        let points = vec![
            vec![1.0, 0.5],
            vec![2.0, 0.9],
            vec![2.5, 0.8],
            vec![1.0, 0.5],
        ];
        assert_eq!(pareto_frontier(&points, &[Lower, Higher]), [0, 1, 3]);
    }

    #[test]
    fn frontier_of_nothing_is_nothing() {
        assert!(pareto_frontier(&[], &[Lower]).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_point_of_the_frontier_is_dominated(
            raw in proptest::collection::vec((0u8..6, 0u8..6), 1..20)
        ) {
            let points: Vec<Vec<f64>> =
                raw.iter().map(|&(x, y)| vec![f64::from(x), f64::from(y)]).collect();
            let frontier = pareto_frontier(&points, &[Lower, Higher]);
            proptest::prop_assert!(!frontier.is_empty());
            for &kept in &frontier {
                for other in &points {
                    let better = other[0] <= points[kept][0] && other[1] >= points[kept][1];
                    proptest::prop_assert!(!better || *other == points[kept]);
                }
            }
        }
    }
}
