//! How files order the rows of a weight, and the way to the order that the engine uses and back.
//!
//! The engine keeps every weight as `[d_out, d_in]`, rotated channels in two halves. A bias follows
//! the order of its weight's rows.

/// The order in which a file stores a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As the engine does.
    Rows,
    /// As `[d_in, d_out]`.
    Transposed,
    /// The rows of each head in pairs for an interleaved rotation.
    Interleaved {
        /// Heads.
        n_heads: usize,
    },
    /// The same for the last `d_tail` rows of each head only.
    InterleavedTail {
        /// Heads.
        n_heads: usize,
        /// Rows of a head.
        d_head: usize,
        /// Rows in pairs.
        d_tail: usize,
    },
    /// Query, key and value rows of the first head, then of the second, and so on.
    HeadByHead {
        /// Heads, as many for keys and values as for queries.
        n_heads: usize,
    },
}

impl Layout {
    /// Puts a stored weight into the engine's order.
    ///
    /// # Shapes
    ///
    /// - `stored`: `d_out · d_in` values in this layout; result: `[d_out, d_in]`
    pub fn read(self, stored: Vec<f32>, d_out: usize, d_in: usize) -> Vec<f32> {
        match self {
            Self::Rows => stored,
            Self::Transposed => transpose(&stored, d_in, d_out),
            _ => {
                let mut rows = Vec::with_capacity(stored.len());
                for row in 0..d_out {
                    rows.extend_from_slice(&stored[self.stored_row(row, d_out) * d_in..][..d_in]);
                }
                rows
            }
        }
    }

    /// The inverse of [`Self::read`].
    pub fn write(self, rows: Vec<f32>, d_out: usize, d_in: usize) -> Vec<f32> {
        match self {
            Self::Rows => rows,
            Self::Transposed => transpose(&rows, d_out, d_in),
            _ => {
                let mut stored = vec![0.0; rows.len()];
                for (row, values) in rows.chunks_exact(d_in).enumerate() {
                    let at = self.stored_row(row, d_out) * d_in;
                    stored[at..at + d_in].copy_from_slice(values);
                }
                stored
            }
        }
    }

    /// Which stored row the engine's row `row` is.
    pub(crate) fn stored_row(self, row: usize, d_out: usize) -> usize {
        match self {
            Self::Rows | Self::Transposed => row,
            Self::Interleaved { n_heads } => {
                let d_head = d_out / n_heads;
                row - row % d_head + interleaved(row % d_head, d_head)
            }
            Self::InterleavedTail { d_head, d_tail, .. } => {
                let (head, channel) = (row - row % d_head, row % d_head);
                match channel.checked_sub(d_head - d_tail) {
                    None => row,
                    Some(channel) => head + d_head - d_tail + interleaved(channel, d_tail),
                }
            }
            Self::HeadByHead { n_heads } => {
                let d_head = d_out / (3 * n_heads);
                let (kind, within) = (row / (n_heads * d_head), row % (n_heads * d_head));
                let (head, channel) = (within / d_head, within % d_head);
                (3 * head + kind) * d_head + channel
            }
        }
    }
}

/// Where channel `channel` of two halves lies among pairs.
fn interleaved(channel: usize, n: usize) -> usize {
    let half = n / 2;
    2 * (channel % half) + channel / half
}

/// `[n_rows, n_cols]` to `[n_cols, n_rows]`.
fn transpose(values: &[f32], n_rows: usize, n_cols: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for col in 0..n_cols {
        out.extend((0..n_rows).map(|row| values[row * n_cols + col]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(layout: Layout, d_out: usize, d_in: usize, want: &[f32]) {
        let stored: Vec<f32> = (0..d_out * d_in).map(|i| i as f32).collect();
        let rows = layout.read(stored.clone(), d_out, d_in);
        assert_eq!(rows, want);
        assert_eq!(layout.write(rows, d_out, d_in), stored);
    }

    #[test]
    fn rows_go_where_the_engine_wants_them_and_back() {
        check(
            Layout::Interleaved { n_heads: 2 },
            8,
            1,
            &[0., 2., 1., 3., 4., 6., 5., 7.],
        );
        let tail = Layout::InterleavedTail {
            n_heads: 2,
            d_head: 5,
            d_tail: 4,
        };
        check(tail, 10, 1, &[0., 1., 3., 2., 4., 5., 6., 8., 7., 9.]);
        let joint = Layout::HeadByHead { n_heads: 2 };
        check(
            joint,
            6,
            2,
            &[0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.],
        );
        check(Layout::Transposed, 2, 3, &[0., 2., 4., 1., 3., 5.]);
    }
}
