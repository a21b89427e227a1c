//! What the variants of a run cost by the reader's own prices, and when making one has paid off. The
//! prices are part of the address, so that a link shows the same numbers.

use crate::{
    api::get_costs,
    components::{Term, VariantLabel, loaded},
    glossary::Word,
};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use trimtab_domain::{BreakEven, PriceTable, RunId, VariantCost};

/// Prices in, costs out. Without prices there is nothing but the form, which asks for that of energy
/// where energy was measured.
#[component]
pub(super) fn Costs(run_id: RunId, has_energy: bool) -> impl IntoView {
    let query = use_query_map();
    let asked = Memo::new(move |_| {
        query.with(|query| {
            let text = |name: &str| query.get(name).filter(|text| !text.trim().is_empty());
            let number = |name: &str| text(name).map(|text| text.trim().replace(',', ".").parse());
            prices(text("currency"), number("hour"), number("kwh"))
        })
    });
    let costs = Resource::new(
        move || asked.get(),
        move |asked| async move {
            match asked {
                Some(Ok(prices)) => get_costs(run_id, prices).await.map(Some),
                Some(Err(_)) | None => Ok(None),
            }
        },
    );
    let trouble = move || asked.get().and_then(Result::err);
    view! {
        <section aria-labelledby="costs">
            <h2 id="costs"><Term word=Word::Cost label="Costs"/></h2>
            <PriceForm run_id has_energy/>
            {move || trouble().map(|words| view! { <p class="notice error" role="alert">{words}</p> })}
            {loaded(costs, move |costs: Option<Vec<VariantCost>>| {
                let prices = asked.get_untracked().and_then(Result::ok);
                costs.zip(prices).map(|(costs, prices)| view! { <CostTable costs prices/> })
            })}
        </section>
    }
    .into_any()
}

type Number = Result<f64, std::num::ParseFloatError>;

/// The price table of the address; `None` where there are no prices, an error where one is no number.
fn prices(
    currency: Option<String>,
    hour: Option<Number>,
    kwh: Option<Number>,
) -> Option<Result<PriceTable, String>> {
    let usable = |what: &str, number: Number| match number {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!(
            "{what} has to be a number of at least 0, for example 1.20"
        )),
    };
    let machine_hour = match usable("The price of a machine hour", hour?) {
        Ok(value) => value,
        Err(words) => return Some(Err(words)),
    };
    let kilowatt_hour = kwh.map_or(Ok(0.0), |kwh| usable("The price of a kilowatt-hour", kwh));
    Some(kilowatt_hour.map(|kilowatt_hour| PriceTable {
        currency: currency.unwrap_or_else(|| "USD".to_owned()),
        machine_hour,
        kilowatt_hour,
    }))
}

/// Prices are the reader's: none is built in.
#[component]
fn PriceForm(run_id: RunId, has_energy: bool) -> impl IntoView {
    let query = use_query_map();
    let of = move |name: &'static str| query.with(|query| query.get(name)).unwrap_or_default();
    let energy = has_energy.then(|| {
        view! {
            <label class="field">
                <span>"Price of a kilowatt-hour"</span>
                <input name="kwh" inputmode="decimal" size="8" placeholder="0.30"
                    prop:value=move || of("kwh") value=of("kwh")/>
            </label>
        }
    });
    view! {
        <p class="fine">
            "Your price of one hour of this machine gives the cost of 1,000 queries as long as those of the "
            "run, one at a time, and after how many of them making a variant has paid for itself."
        </p>
        <form class="table-tools" method="get" action="/tradeoffs#costs">
            <input type="hidden" name="run" value=run_id.to_string()/>
            <label class="field">
                <span>"Price of a machine hour"</span>
                <input name="hour" inputmode="decimal" required=true size="8" placeholder="1.20"
                    prop:value=move || of("hour") value=of("hour")/>
            </label>
            {energy}
            <label class="field">
                <span>"Currency"</span>
                <input name="currency" size="5" maxlength="8" placeholder="USD"
                    prop:value=move || of("currency") value=of("currency")/>
            </label>
            <button type="submit" class="button">"Show costs"</button>
        </form>
    }
    .into_any()
}

#[component]
fn CostTable(costs: Vec<VariantCost>, prices: PriceTable) -> impl IntoView {
    let has_energy = costs.iter().all(|cost| cost.joules_per_query.is_some());
    let has_energy_cost = 0.0 < prices.kilowatt_hour && has_energy;
    let is_left_out = 0.0 < prices.kilowatt_hour && !has_energy;
    let note = is_left_out
        .then_some("The energy was not measured of all variants, so it is in none of these costs.");
    let currency = prices.currency;
    let head = format!("1,000 queries ({currency})");
    let making = format!("Making it ({currency})");
    // The baseline comes first; it is what the others are measured by.
    let rows = costs.into_iter().enumerate().map(|(idx, cost)| {
        let made = cost
            .break_even
            .map_or_else(|| "–".to_owned(), |paid| amount(paid.compression));
        let query = query_words(&cost);
        view! {
            <tr>
                <th scope="row"><VariantLabel name=cost.variant/></th>
                <td class="number">{query}</td>
                <td class="number">{amount(cost.per_1000)}</td>
                <td class="number">{made}</td>
                <td>{paid_words(idx == 0, has_energy_cost, cost.break_even)}</td>
            </tr>
        }
    });
    view! {
        <div class="table-scroll" tabindex="0" role="region" aria-labelledby="costs">
            <table>
                <thead>
                    <tr>
                        <th scope="col"><Term word=Word::Variant/></th>
                        <th scope="col">"One query"</th>
                        <th scope="col">{head}</th>
                        <th scope="col">{making}</th>
                        <th scope="col">"Paid for itself"</th>
                    </tr>
                </thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
        {note.map(|words| view! { <p class="notice info" role="note">{words}</p> })}
    }
    .into_any()
}

/// `1.20 s`, and its energy where that was measured.
fn query_words(cost: &VariantCost) -> String {
    let seconds = format!("{:.2} s", cost.seconds_per_query);
    match cost.joules_per_query {
        // One unit for all variants, which people compare.
        Some(joules) => format!("{seconds} · {joules:.1} J"),
        None => seconds,
    }
}

/// Two decimals, or as many as show two figures.
fn amount(value: f64) -> String {
    let n_decimals = match value {
        small if 0.0 < small && small < 0.1 => 1 - small.log10().floor() as i32,
        _ => 2,
    };
    let n_decimals = n_decimals.clamp(2, 9) as usize;
    format!("{value:.n_decimals$}")
}

fn paid_words(is_baseline: bool, has_energy: bool, paid: Option<BreakEven>) -> String {
    match paid {
        None if is_baseline => "–".to_owned(),
        None if has_energy => {
            "not known: another run made it, or its energy was not measured".to_owned()
        }
        None => "not known: another run made it".to_owned(),
        Some(BreakEven {
            n_queries: Some(n), ..
        }) => format!("after {:.0} queries", n.ceil()),
        Some(BreakEven {
            n_queries: None, ..
        }) => "never: a query saves nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_or_refused_by_name() {
        assert_eq!(prices(None, None, None), None);
        let read = |text: &str| prices(Some("EUR".into()), Some(text.parse()), None).unwrap();
        let table = read("1.2").unwrap();
        assert_eq!((table.currency.as_str(), table.machine_hour), ("EUR", 1.2));
        for wrong in ["x", "-1", "NaN", "inf"] {
            assert!(read(wrong).unwrap_err().contains("machine hour"), "{wrong}");
        }
        let kwh = prices(None, Some("1".parse()), Some("y".parse())).unwrap();
        assert!(kwh.unwrap_err().contains("kilowatt-hour"));
    }

    #[test]
    fn energy_stands_beside_the_time_where_it_was_measured() {
        let mut cost = VariantCost {
            variant: "m:int4".parse().unwrap(),
            seconds_per_query: 2.388,
            joules_per_query: Some(298.49),
            per_1000: 0.82,
            break_even: None,
        };
        assert_eq!(query_words(&cost), "2.39 s · 298.5 J");
        cost.joules_per_query = None;
        assert_eq!(query_words(&cost), "2.39 s");
        assert!(paid_words(false, true, None).contains("energy was not measured"));
        assert!(!paid_words(false, false, None).contains("energy"));
        assert_eq!(paid_words(true, true, None), "–");
    }

    #[test]
    fn small_amounts_are_not_shown_as_nothing() {
        assert_eq!((amount(0.0), amount(1.239)), ("0.00".into(), "1.24".into()));
        assert_eq!(
            (amount(0.083), amount(0.000_314)),
            ("0.083".into(), "0.00031".into())
        );
        assert_eq!(amount(1e-30), "0.000000000");
    }
}
