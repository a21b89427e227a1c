//! A list of numbers that mostly holds one or none, and then allocates nothing.

use std::{ops::Deref, rc::Rc, slice};

/// A list that is not changed, only made anew; a copy shares what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in super::super) enum Few {
    #[default]
    None,
    One(u32),
    /// Two at least, so that equal lists are of the same form.
    More(Rc<[u32]>),
}

impl Deref for Few {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(number) => slice::from_ref(number),
            Self::More(numbers) => numbers,
        }
    }
}

impl From<&[u32]> for Few {
    fn from(numbers: &[u32]) -> Self {
        match numbers {
            [] => Self::None,
            [number] => Self::One(*number),
            more => Self::More(more.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_it_was_made_of() {
        for length in 0..5_u32 {
            let numbers: Vec<u32> = (7..7 + length).collect();
            let few = Few::from(&*numbers);
            assert_eq!(*few, *numbers);
            assert_eq!(few, few.clone());
        }
        assert_eq!(Few::from(&[3_u32][..]), Few::One(3));
        assert_eq!(Few::default(), Few::None);
    }
}
