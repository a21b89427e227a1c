//! How many heads attention has, and what lies in the buffer of queries, keys and values.

use super::{KvFormat, KvShape};

/// Where the values of a head come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadValues {
    /// Values are channels of their own, after the keys.
    Separate,
    /// Values are the first channels of the keys, as in latent attention.
    KeyPrefix,
}

/// Heads of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Channels of a query or key head.
    pub d_key: usize,
    /// Channels of a value head.
    pub d_value: usize,
    /// Where values come from.
    pub values: HeadValues,
}

impl AttentionShape {
    /// Heads of one width, with values of their own.
    pub fn grouped(n_heads: usize, n_kv_heads: usize, d_head: usize) -> Self {
        Self {
            n_heads,
            n_kv_heads,
            d_key: d_head,
            d_value: d_head,
            values: HeadValues::Separate,
        }
    }

    /// Channels of queries, keys and values of one token, side by side.
    pub fn d_qkv(&self) -> usize {
        (self.n_heads + self.n_kv_heads) * self.d_key + self.n_kv_heads * self.d_stored_value()
    }

    /// Channels of the output of one token.
    pub fn d_out(&self) -> usize {
        self.n_heads * self.d_value
    }

    /// Query heads that share a key head.
    pub fn group_size(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// The cache of one layer for `n_slots` sequences of up to `capacity` tokens.
    pub fn kv_shape(&self, n_slots: usize, capacity: usize, format: KvFormat) -> KvShape {
        KvShape {
            n_slots,
            n_kv_heads: self.n_kv_heads,
            capacity,
            d_key: self.d_key,
            d_value: self.d_stored_value(),
            format,
        }
    }

    /// Channels of a value in the cache: none where it is part of the key.
    fn d_stored_value(&self) -> usize {
        match self.values {
            HeadValues::Separate => self.d_value,
            HeadValues::KeyPrefix => 0,
        }
    }

    /// # Panics
    ///
    /// If the numbers contradict each other.
    pub(crate) fn check(&self) {
        let is_shared = self.n_kv_heads > 0 && self.n_heads.is_multiple_of(self.n_kv_heads);
        assert!(is_shared, "key heads do not divide the heads of {self:?}");
        assert!(self.d_key > 0 && self.d_value > 0, "{self:?} is empty");
        let has_prefix = self.values == HeadValues::Separate || self.d_value <= self.d_key;
        assert!(has_prefix, "values are longer than the keys of {self:?}");
    }
}
