//! Where a web seed may be, and where it may lead.

use super::*;

#[tokio::test]
async fn redirects_end() {
    let error = error_of(|asked| redirect(if asked.path == "/file" { "/b" } else { "/file" })).await;
    assert!(matches!(error, WebSeedError::Http(HttpError::Circle)), "{error}");
    assert_eq!(error.outlook(), Outlook::Hopeless);
    let chain = |len: usize| async move {
        error_of(move |asked| match asked.path.trim_start_matches("/file").len() {
            n if n == len => reply("403 No", b""),
            n => redirect(&format!("/file{}", "x".repeat(n + 1))),
        })
        .await
    };
    let error = chain(MAX_REDIRECTS).await;
    assert!(matches!(error, WebSeedError::Redirected { .. }), "{error}");
    let error = chain(MAX_REDIRECTS + 1).await;
    assert!(matches!(error, WebSeedError::Http(HttpError::TooManyRedirects)), "{error}");
}

#[tokio::test]
async fn a_public_web_seed_leads_nowhere_inside() {
    let inside = Server::start(|asked| good(&content(), asked)).await;
    for to in [inside.url("/secret"), format!("http://localhost:{}/secret", inside.addr.port())] {
        let outside = Server::start_at(world::PUBLIC, move |_| redirect(&to)).await;
        let seed = client(true).find(&outside.url("/")).await.unwrap();
        let scene = scene_with(seed, &outside, ONE);
        scene.ask(0..1).await;
        let error = scene.error().await;
        assert!(
            matches!(error, WebSeedError::RedirectsInside) && error.outlook() == Outlook::Hopeless,
            "{error}"
        );
    }
    assert_eq!(inside.asked(), []);
}

#[tokio::test]
async fn nobody_is_led_to_what_must_not_be_asked() {
    let error = error_of(|_| redirect("http://169.254.169.254/latest/secret")).await;
    assert_eq!(
        error.to_string(),
        "redirected to http://169.254.169.254:80: its address is one that must not be asked"
    );
    let error = error_of(|_| redirect("http://127.0.0.1:1/?do=secret")).await;
    assert!(
        matches!(&error, WebSeedError::Redirected { error, .. } if matches!(**error, WebSeedError::PrivateQuery))
    );
    assert!(matches!(error_of(|_| redirect("ftp://127.0.0.1/")).await, WebSeedError::Redirected { .. }));
}

#[tokio::test]
async fn where_a_web_seed_may_be() {
    let outcome = async |url: &str, allow_private| match client(allow_private).find(url).await {
        Ok(found) => found.addr.to_string(),
        Err(error) => error.to_string(),
    };
    for (url, closed, open) in [
        ("http://1.1.1.1/a?b", "1.1.1.1:80", "1.1.1.1:80"),
        ("https://[2606:4700::1]/", "[2606:4700::1]:443", "[2606:4700::1]:443"),
        ("http://127.0.0.1:8080/", "it is at a private address", "127.0.0.1:8080"),
        ("http://0x7f.1/", "it is at a private address", "127.0.0.1:80"),
        ("http://[::ffff:10.0.0.1]/", "it is at a private address", "[::ffff:10.0.0.1]:80"),
        (
            "http://192.168.1.13/?b",
            "it is at a private address",
            "a web seed at a private address must not have a query in its URL",
        ),
        (
            "http://169.254.169.254/",
            "its address is one that must not be asked",
            "its address is one that must not be asked",
        ),
        (
            "http://xn--bcher-kva.example/",
            "internationalised host names are not allowed for web seeds",
            "internationalised host names are not allowed for web seeds",
        ),
        ("ftp://1.1.1.1/", "not an http or https URL", "not an http or https URL"),
        ("no URL", "not an http or https URL", "not an http or https URL"),
    ] {
        assert_eq!((&*outcome(url, false).await, &*outcome(url, true).await), (closed, open), "{url}");
    }
    assert_eq!(outcome("http://localhost/", false).await, "it is at a private address");
    assert!(outcome("http://localhost/", true).await.ends_with(":80"));
}

#[tokio::test]
async fn what_a_name_leads_to_is_checked_when_it_is_dialled() {
    let server = Server::start(|asked| good(&content(), asked)).await;
    let url = format!("http://localhost:{}/", server.addr.port());
    let allowed = client(true).find(&url).await.unwrap();
    for (zone, is_right) in [(Zone::Private, true), (Zone::Public, false)] {
        let seed = Found { zone, ..allowed.clone() };
        let scene = scene_at(&url, seed, ONE);
        scene.ask(0..1).await;
        if is_right {
            scene.until_there(4).await;
        } else {
            assert!(matches!(scene.error().await, WebSeedError::Private));
        }
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn corpus_of_urls() {
    let folder = std::env::var_os("RAWTORRENT_CORPUS").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        std::path::PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(folder.join("vectors/ssrf.json")) else {
        println!("corpus: not found, 0 cases");
        return;
    };
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Its rules can be switched off, ours can't.
    let deviation = ("http://192.168.1.14:8080/1", "http://192.168.1.13:8080/1?query_string=1");
    let (mut agreed, mut deviations) = (0, 0);
    for case in document["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == "web_seed") {
        let url = |key: &str| {
            let url = case[key].as_str()?;
            let url = url.replace("local-network.com", "192.168.1.13").replace("3.server.com", "3.3.3.3");
            Some(reqwest::Url::parse(&url).unwrap())
        };
        let client = client(true);
        let mut outcome = client.place(&url("url").unwrap(), true).await;
        if let (Ok((zone, _)), Some(next)) = (&outcome, url("redirect_to")) {
            outcome = client.place(&next, *zone == Zone::Private).await;
        }
        let is_deviation = (case["url"].as_str(), case["redirect_to"].as_str())
            == (Some(deviation.0), Some(deviation.1))
            && case["mitigation"] == false;
        assert_eq!(case["allowed"] == outcome.is_ok(), !is_deviation, "{case}: {outcome:?}");
        agreed += u32::from(!is_deviation);
        deviations += u32::from(is_deviation);
    }
    println!(
        "corpus web seeds: {agreed} of {} agree, {deviations} deviations (docs/corpus.md)",
        agreed + deviations
    );
}
