//! The HTML document around every page: head, navigation, routes, footer.

use crate::{
    components::TermCards,
    pages::{
        Compress, Compression, FlipsPage, Glossary, Models, NotFound, Overview, Run, Runs,
        Tradeoffs,
    },
};
use leptos::prelude::*;
use leptos_meta::{MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{A, Route, Router, Routes},
    path,
};

/// The document; rendered on the server only.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <meta
                    name="description"
                    content="What compressing a language model costs and what it buys, measured on code tasks."
                />
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <link rel="stylesheet" href="/pkg/trimtab.css"/>
                <HydrationScripts options/>
                <MetaTags/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

/// Everything inside `<body>`: the same on the server and in the browser.
///
/// All routes render completely before the first byte leaves (`SsrMode::Async`):
/// a page streamed out of order needs scripts to put its parts in place.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Title formatter=|title: String| {
            if title.is_empty() { "Trimtab".to_owned() } else { format!("{title} · Trimtab") }
        }/>
        <Router>
            <a class="skip-link" href="#main">"Skip to the content"</a>
            <SiteHeader/>
            <main id="main" tabindex="-1">
                <Routes fallback=NotFound>
                    <Route path=path!("/") view=Overview ssr=SsrMode::Async/>
                    <Route path=path!("/runs") view=Runs ssr=SsrMode::Async/>
                    <Route path=path!("/runs/:id") view=Run ssr=SsrMode::Async/>
                    <Route path=path!("/runs/:id/flips") view=FlipsPage ssr=SsrMode::Async/>
                    <Route path=path!("/tradeoffs") view=Tradeoffs ssr=SsrMode::Async/>
                    <Route path=path!("/compress") view=Compress ssr=SsrMode::Async/>
                    <Route path=path!("/compress/:id") view=Compression ssr=SsrMode::Async/>
                    <Route path=path!("/models") view=Models ssr=SsrMode::Async/>
                    <Route path=path!("/glossary") view=Glossary ssr=SsrMode::Async/>
                </Routes>
            </main>
            <SiteFooter/>
            <TermCards/>
        </Router>
    }
}

#[component]
fn SiteHeader() -> impl IntoView {
    view! {
        <header class="site-header">
            <div class="bar">
                <a class="brand" href="/">
                    <svg class="brand-mark" viewBox="0 0 24 24" aria-hidden="true">
                        <path d="M3 17 L11 5 L13 9 L21 17 Z"></path>
                        <path class="tab" d="M14.5 17 L21 17 L17.4 13.4 Z"></path>
                    </svg>
                    "Trimtab"
                </a>
                <nav aria-label="Main">
                    <ul>
                        <li><A href="/" exact=true>"Overview"</A></li>
                        <li><A href="/tradeoffs">"Trade-offs"</A></li>
                        <li><A href="/runs">"Runs"</A></li>
                        <li><A href="/compress">"Compress"</A></li>
                        <li><A href="/models">"Models"</A></li>
                        <li><A href="/glossary">"Glossary"</A></li>
                    </ul>
                </nav>
            </div>
        </header>
    }
}

#[component]
fn SiteFooter() -> impl IntoView {
    view! {
        <footer class="site-footer">
            <p>
                "Trimtab " {env!("CARGO_PKG_VERSION")}
                ". Every number here was measured on this machine; no request of these pages leaves it."
            </p>
        </footer>
    }
}
