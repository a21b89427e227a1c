//! Building blocks of the pages.

mod chart;
mod figure;
mod loaded;
mod memory_needs;
mod notice;
mod progress;
mod quickstart;
mod run_actions;
mod state;
mod term;
mod tradeoff_table;
mod variant_label;
mod verdict;

pub(crate) use chart::TradeoffChart;
pub(crate) use figure::FigureCell;
pub(crate) use loaded::loaded;
pub(crate) use memory_needs::{FitBadge, MemoryNeeds};
pub(crate) use notice::{EmptyNotice, ErrorNotice, FailureNotice};
pub(crate) use progress::ProgressBar;
pub(crate) use quickstart::QuickstartButton;
pub(crate) use run_actions::RunActions;
pub(crate) use state::{OutcomeBadge, StateBadge};
pub(crate) use term::{Term, TermCards};
pub(crate) use tradeoff_table::TradeoffTable;
pub(crate) use variant_label::VariantLabel;
pub(crate) use verdict::{VerdictBadge, VerdictCard};
