//! The frontier of a scatter chart as an SVG path: steps through the points no other beats.

use trimtab_domain::{Direction, pareto_frontier};

/// Indices of the points on the frontier of both axes, from left to right.
pub(crate) fn frontier_points(values: &[(f64, f64)], directions: [Direction; 2]) -> Vec<usize> {
    let points: Vec<Vec<f64>> = values.iter().map(|&(x, y)| vec![x, y]).collect();
    let mut kept = pareto_frontier(&points, &directions);
    kept.sort_by(|&a, &b| values[a].0.total_cmp(&values[b].0));
    kept
}

/// The border of what the frontier's points reach: horizontal and vertical steps between
/// pixel positions ordered from left to right. The corner lies on the worse side of both
/// neighbours, because nothing between them was measured. Empty below two points.
pub(crate) fn step_path(pixels: &[(i32, i32)], x_direction: Direction) -> String {
    let [(x, y), rest @ ..] = pixels else {
        return String::new();
    };
    if rest.is_empty() {
        return String::new();
    }
    let steps = rest.iter().map(|(x, y)| match x_direction {
        Direction::Lower => format!("H{x}V{y}"),
        Direction::Higher => format!("V{y}H{x}"),
    });
    std::iter::once(format!("M{x} {y}")).chain(steps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Higher, Lower};

    #[test]
    fn the_frontier_runs_from_left_to_right() {
        let values = [(900.0, 60.0), (300.0, 40.0), (500.0, 58.0), (600.0, 50.0)];
        assert_eq!(frontier_points(&values, [Lower, Higher]), [1, 2, 0]);
    }

    #[test]
    fn steps_turn_on_the_worse_side() {
        // Small and high is better: between two points, the smaller one's height holds.
        assert_eq!(step_path(&[(10, 90), (50, 20)], Lower), "M10 90H50V20");
        // Large and high is better: the larger one's height holds to its left.
        assert_eq!(step_path(&[(10, 20), (50, 90)], Higher), "M10 20V90H50");
    }

    #[test]
    fn one_point_draws_no_line() {
        assert_eq!(step_path(&[(10, 90)], Lower), "");
        assert_eq!(step_path(&[], Lower), "");
    }
}
