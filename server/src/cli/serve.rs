//! `trimtab serve`: dashboard, HTTP API and queue, until Ctrl-C or SIGTERM.

use super::{context::Context, output::print, program::interruption};
use crate::{AppState, SiteDir, router};
use clap::Args;
use serde::Serialize;
use std::{io::ErrorKind, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use trimtab_domain::Failure;

/// How long open connections and workers may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Options of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3000")]
    addr: String,
    /// Folder of the built pages [default: target/site, or site beside the program].
    #[arg(long, value_name = "DIR", env = "TRIMTAB_SITE_DIR")]
    site_dir: Option<PathBuf>,
    /// Start the quickstart experiment if there is no run yet.
    #[arg(long)]
    quickstart: bool,
}

/// The answer to `--json`.
#[derive(Debug, Serialize)]
struct Listening {
    address: SocketAddr,
    url: String,
}

/// Serves until it is told to stop.
pub(super) async fn run(arguments: ServeArgs, context: &Context) -> Result<(), Failure> {
    let site = SiteDir::find(arguments.site_dir)?;
    // Before the data folder: a port in use must not leave anything behind.
    let listener = bind(&arguments.addr).await?;
    let address = listener.local_addr().map_err(|error| {
        Failure::failed(format!("cannot listen on `{}`: {error}", arguments.addr))
    })?;
    let service = context.service().await?.clone();
    service.start_queue().await?;
    if arguments.quickstart && service.overview().await?.n_runs == 0 {
        let run_id = service.start_quickstart().await?;
        tracing::info!("started the quickstart experiment as run {run_id}");
    }
    let (end, is_ending) = watch::channel(false);
    let app = router(AppState::new(service, &site, is_ending.clone()));
    let mut asked_to_end = is_ending;
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        // An error means that the sender is gone, which is the end as well.
        let _ = asked_to_end.wait_for(|is_ending| *is_ending).await;
    });
    let server = tokio::spawn(server.into_future());
    // Before anybody hears that the server is there, and could want it to end.
    let interrupted = interruption();
    tell_address(address, context)?;
    interrupted.await;
    tracing::info!("stopping");
    let _ = end.send(true);
    if timeout(STOP_WITHIN, context.shut_down()).await.is_err() {
        tracing::warn!("some workers did not stop in time and are killed");
    }
    // A browser that keeps its connection open does not keep the server alive.
    let _ = timeout(Duration::from_secs(2), server).await;
    Ok(())
}

fn tell_address(address: SocketAddr, context: &Context) -> Result<(), Failure> {
    let url = format!("http://{address}");
    if !address.ip().is_loopback() {
        tracing::warn!("everyone who can reach {address} can start and stop runs");
    }
    if context.output.is_json {
        let line =
            serde_json::to_string(&Listening { address, url }).expect("an address is always JSON");
        return print(&format!("{line}\n"));
    }
    print(&format!("listening on {url}\n"))
}

async fn bind(addr: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(addr)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => Failure::conflict(format!("address {addr} is in use"))
                .with_hint(
                    "stop the program that uses it, or choose another with `--addr 127.0.0.1:3001`",
                ),
            ErrorKind::PermissionDenied => {
                Failure::bad_input(format!("not allowed to listen on {addr}"))
                    .with_hint("ports below 1024 need rights; choose another with `--addr`")
            }
            _ => Failure::bad_input(format!("cannot listen on `{addr}`: {error}"))
                .with_hint("name an address and port of this machine, as in `127.0.0.1:3000`"),
        })
}
