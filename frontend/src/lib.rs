//! The wasm entry: hydrates the dashboard.

/// Takes over the page that the server rendered.
///
/// Events before this point are lost, so the page says when it is past: `data-hydrated`
/// on the document element.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
    let root = leptos::prelude::document().document_element();
    if let Some(root) = root
        && root.set_attribute("data-hydrated", "").is_err()
    {
        leptos::logging::error!("the page cannot be marked as hydrated");
    }
}
