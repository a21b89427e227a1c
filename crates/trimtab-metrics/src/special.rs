//! Two functions that the tails of distributions are made of: ln Γ and the incomplete beta function.
//!
//! Source: NIST Digital Library of Mathematical Functions, <https://dlmf.nist.gov>, 5.11.1
//! (Stirling's series) and 8.17.22 (the continued fraction of the incomplete beta function).

/// Above this, seven terms of Stirling's series leave an error below rounding.
const STIRLING_FROM: f64 = 12.0;

/// The terms of the continued fraction shrink after about √(a + b) of them.
const MAX_TERMS: u32 = 20_000;

/// ln Γ(x) for x > 0.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    // Γ(x) = Γ(x + 1) / x carries small arguments to where the series is exact.
    let (mut x, mut product) = (x, 1.0);
    while x < STIRLING_FROM {
        product *= x;
        x += 1.0;
    }
    let coefficients = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let inverse_square = 1.0 / (x * x);
    let series = coefficients
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| sum * inverse_square + coefficient)
        / x;
    let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
    (x - 0.5) * x.ln() - x + half_ln_tau + series - product.ln()
}

/// ln of the binomial coefficient "n over k" for 0 ≤ k ≤ n.
pub(crate) fn ln_choose(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// The regularised incomplete beta function Iₓ(a, b) for a, b > 0 and 0 ≤ x ≤ 1.
///
/// It is the chance that at least `a` of `a + b − 1` trials succeed when each does with chance `x`.
pub(crate) fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on one side of the mean; the other side follows by symmetry.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta_left(1.0 - x, b, a);
    }
    incomplete_beta_left(x, a, b)
}

fn incomplete_beta_left(x: f64, a: f64, b: f64) -> f64 {
    let ln_front =
        ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p() - a.ln();
    (ln_front.exp() / beta_fraction(x, a, b)).clamp(0.0, 1.0)
}

/// 1 + d₁/(1 + d₂/(1 + …)) by Lentz's method, which builds it from the front.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let (mut fraction, mut numerator, mut denominator) = (1.0, 1.0, 0.0);
    for term in 1..=MAX_TERMS {
        let m = f64::from(term / 2);
        let d = if term % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        denominator = 1.0 / nonzero(1.0 + d * denominator);
        numerator = nonzero(1.0 + d / numerator);
        let factor: f64 = numerator * denominator;
        fraction *= factor;
        if (factor - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    fraction
}

/// Lentz's method divides by what may pass through zero.
fn nonzero(value: f64) -> f64 {
    if value.abs() < 1e-300 { 1e-300 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_agrees_with_factorials_and_the_half() {
        let mut factorial = 1.0_f64;
        for n in 1..=20_u32 {
            factorial *= f64::from(n);
            let got = ln_gamma(f64::from(n) + 1.0);
            assert!((got - factorial.ln()).abs() < 1e-13 * factorial.ln().max(1.0));
        }
        let half = 0.5 * std::f64::consts::PI.ln();
        assert!((ln_gamma(0.5) - half).abs() < 1e-14);
    }

    #[test]
    fn incomplete_beta_adds_up_binomial_chances() {
        let (n, chance) = (9_u32, 0.3_f64);
        for at_least in 1..=n {
            let want: f64 = (at_least..=n)
                .map(|k| {
                    ln_choose(n.into(), k.into()).exp()
                        * chance.powi(k as i32)
                        * (1.0 - chance).powi((n - k) as i32)
                })
                .sum();
            let got = incomplete_beta(chance, at_least.into(), f64::from(n - at_least) + 1.0);
            assert!((got - want).abs() < 1e-14, "{at_least}: {got} {want}");
        }
    }
}
