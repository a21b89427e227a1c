//! `/api/runs/{id}/events`: what happens in a run, as it happens, as server-sent events.
//!
//! The stream ends after the run's last state. A listener that comes late, loses events or
//! connects again still gets that state: the run is read after subscribing, and again
//! every few seconds. Once it had the end, a reconnecting browser is told to stay away.
//!
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use super::{error::HttpError, extract::RunPath};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use std::{convert::Infallible, pin::Pin, time::Duration};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval_at},
};
use trimtab_domain::{RunEvent, RunId};
use trimtab_service::Service;

/// Name of the events.
const EVENT_NAME: &str = "run";
/// Id of the last event; a browser sends it back when it connects again.
const LAST_ID: &str = "end";
/// How often the run's state is read, in case an event was lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The events of a run from now on.
pub(super) async fn stream(
    State(service): State<Service>,
    State(is_ending): State<watch::Receiver<bool>>,
    RunPath(run_id): RunPath,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    // The one status that makes an `EventSource` stop connecting again.
    if headers.get("last-event-id").is_some_and(|id| id == LAST_ID) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // Subscribed before the state is read: what happens in between is not lost.
    let events = service.subscribe();
    let detail = service.run(run_id).await?;
    let state = detail.summary.state;
    let mut ticks = interval_at(tokio::time::Instant::now() + LOOK_EVERY, LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listener = Listener {
        run_id,
        service,
        is_ending,
        events: Box::pin(events),
        ticks,
        first: Some(RunEvent::RunState { run_id, state }),
        is_over: false,
    };
    let sent = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(encode(&event)), listener))
    });
    Ok(Sse::new(sent)
        .keep_alive(KeepAlive::default())
        .into_response())
}

struct Listener {
    run_id: RunId,
    service: Service,
    is_ending: watch::Receiver<bool>,
    events: Pin<Box<dyn Stream<Item = RunEvent> + Send>>,
    ticks: Interval,
    /// The state that is sent at once, so that a listener never waits to learn it.
    first: Option<RunEvent>,
    is_over: bool,
}

impl Listener {
    async fn next(&mut self) -> Option<RunEvent> {
        if self.is_over {
            return None;
        }
        let event = match self.first.take() {
            Some(event) => event,
            None => self.wait().await?,
        };
        self.is_over = is_end(&event);
        Some(event)
    }

    async fn wait(&mut self) -> Option<RunEvent> {
        loop {
            tokio::select! {
                () = async { drop(self.is_ending.wait_for(|is_ending| *is_ending).await) } => {
                    return None;
                }
                event = self.events.next() => {
                    let event = event?;
                    if event.run_id() == self.run_id {
                        return Some(event);
                    }
                }
                _ = self.ticks.tick() => {
                    // A run that cannot be read ends the stream; the browser asks again.
                    let state = self.service.run(self.run_id).await.ok()?.summary.state;
                    if state.is_final() {
                        return Some(RunEvent::RunState { run_id: self.run_id, state });
                    }
                }
            }
        }
    }
}

fn is_end(event: &RunEvent) -> bool {
    matches!(event, RunEvent::RunState { state, .. } if state.is_final())
}

fn encode(event: &RunEvent) -> Event {
    let json = serde_json::to_string(event).expect("events have no maps with odd keys");
    let encoded = Event::default().event(EVENT_NAME).data(json);
    if is_end(event) {
        encoded.id(LAST_ID)
    } else {
        encoded
    }
}
