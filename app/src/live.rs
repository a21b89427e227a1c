//! Live events of a run in the browser: an `EventSource` that closes with its owner.
//!
//! Source: the server-sent events of the HTML standard,
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use leptos::prelude::*;
use std::time::Duration;
use trimtab_domain::{RunEvent, RunId};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{Event, EventSource, MessageEvent};

/// Whether events arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiveState {
    /// Nothing to listen to, or not connected yet.
    Idle,
    /// Events arrive.
    Live,
    /// The connection broke; the browser tries again by itself.
    Broken,
}

/// Shortest time between two looks at the server.
const LEAST_GAP: Duration = Duration::from_secs(1);

/// Keeps the connection and its callbacks alive.
struct Connection {
    source: EventSource,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_open: Closure<dyn FnMut(Event)>,
    _on_error: Closure<dyn FnMut(Event)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.source.close();
    }
}

/// Calls `on_event` for every event of `run_id` and `on_open` whenever the connection stands,
/// for events were missed while it did not. Ends with the owner. Call it in an effect:
/// there is no `EventSource` on the server.
pub(crate) fn watch_run(
    run_id: RunId,
    state: RwSignal<LiveState>,
    on_event: impl Fn(RunEvent) + 'static,
    on_open: impl Fn() + 'static,
) {
    let Ok(source) = EventSource::new(&format!("/api/runs/{run_id}/events")) else {
        state.set(LiveState::Broken);
        return;
    };
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        let text = message.data().as_string().unwrap_or_default();
        match serde_json::from_str(&text) {
            Ok(event) => on_event(event),
            // A newer server may say more than this page understands; it still asks it for the rest.
            Err(error) => leptos::logging::warn!("an event is not understood: {error}"),
        }
    });
    let on_open = Closure::<dyn FnMut(Event)>::new(move |_| {
        state.try_set(LiveState::Live);
        on_open();
    });
    let on_error = Closure::<dyn FnMut(Event)>::new(move |_| {
        state.try_set(LiveState::Broken);
    });
    let is_listening = source
        .add_event_listener_with_callback("run", on_message.as_ref().unchecked_ref())
        .is_ok();
    source.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    if !is_listening {
        state.set(LiveState::Broken);
    }
    let connection = StoredValue::new_local(Some(Connection {
        source,
        _on_message: on_message,
        _on_open: on_open,
        _on_error: on_error,
    }));
    on_cleanup(move || {
        connection.try_update_value(Option::take);
        state.try_set(LiveState::Idle);
    });
}

/// A wish to look at the server again, granted at most once a second.
#[derive(Clone, Copy)]
pub(crate) struct Refresh {
    is_pending: StoredValue<bool>,
    look: Callback<()>,
}

impl Refresh {
    /// `look` is what happens when the wish is granted.
    pub(crate) fn new(look: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            is_pending: StoredValue::new(false),
            look: Callback::new(move |()| look()),
        }
    }

    /// Looks within a second, together with all wishes until then.
    pub(crate) fn wish(self) {
        if self.is_pending.try_get_value() != Some(false) {
            return;
        }
        self.is_pending.set_value(true);
        set_timeout(
            move || {
                if self.is_pending.try_set_value(false).is_none() {
                    self.look.try_run(());
                }
            },
            LEAST_GAP,
        );
    }
}
