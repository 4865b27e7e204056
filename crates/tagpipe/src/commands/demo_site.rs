//! `tagpipe demo-site`: the demo site alone.

use tagpipe_demo::{DemoConfig, DemoSite, Faults, Latency, Rendering};

use crate::cli::{DemoSiteArguments, GlobalArguments, RenderingChoice};
use crate::exit::{Exit, Failure};
use crate::output::say;

/// Serves until somebody asks to stop.
pub(crate) async fn demo_site(
    global: &GlobalArguments,
    arguments: &DemoSiteArguments,
) -> Result<Exit, Failure> {
    let config = config(arguments)?;
    let demo = DemoSite::start(config, arguments.listen, arguments.admin)
        .await
        .map_err(|error| {
            Failure::could_not_run(format!(
                "cannot listen on {} and {}: {error}; choose other addresses with --listen and --admin",
                arguments.listen, arguments.admin
            ))
        })?;
    if global.json {
        say!(
            "{}",
            serde_json::json!({ "site": demo.site_url(), "admin": demo.admin_url(), "pages": demo.world().page_count() })
        );
    } else {
        say!(
            "site    {}/pop-report   ({} pages)",
            demo.site_url(),
            demo.world().page_count()
        );
        say!("truth   {}/truth/summary", demo.admin_url());
        say!(
            "read it with: tagpipe run --base-url {} --delay 0 --fetch {}",
            demo.site_url(),
            match arguments.rendering {
                RenderingChoice::Server => "http",
                RenderingChoice::Script => "browser",
            }
        );
        say!("Ctrl-C stops it");
    }
    let exit = super::signals::wait_for_signal().await;
    demo.stop().await;
    Ok(exit)
}

fn config(arguments: &DemoSiteArguments) -> Result<DemoConfig, Failure> {
    let shares = [
        ("--rate-limited", arguments.rate_limited),
        ("--unavailable", arguments.unavailable),
        ("--soft-404", arguments.soft_404),
        ("--cut-off", arguments.cut_off),
        ("--slow", arguments.slow),
        ("--partial", arguments.partial),
    ];
    if let Some((flag, share)) = shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
        return Err(Failure::usage(format!(
            "`{share}` is not a valid {flag}; it takes a share from 0 to 1"
        )));
    }
    if shares.iter().map(|(_, share)| share).sum::<f64>() > 1.0 {
        return Err(Failure::usage(
            "the shares of all faults together are more than 1",
        ));
    }
    Ok(DemoConfig {
        seed: arguments.seed,
        pages: arguments.pages,
        rendering: match arguments.rendering {
            RenderingChoice::Server => Rendering::Server,
            RenderingChoice::Script => Rendering::Script,
        },
        faults: Faults {
            rate_limited: arguments.rate_limited,
            unavailable: arguments.unavailable,
            soft_404: arguments.soft_404,
            cut_off: arguments.cut_off,
            slow: arguments.slow,
            partial: arguments.partial,
            seed: arguments.seed,
            ..Faults::default()
        },
        latency: Latency {
            document_ms: arguments.latency_ms,
            ..Latency::default()
        },
        hostile: arguments.hostile,
        record_requests: !arguments.no_request_log,
        ..DemoConfig::default()
    })
}
