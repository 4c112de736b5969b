//! The image: how it is built, and from what.

use crate::files::{document, judged, text, yaml_files};

const DOCKERFILE: &str = "deploy/Dockerfile";

#[test]
fn the_dockerfile_passes_its_linter() {
    let Some((content, said)) = judged("hadolint", &[DOCKERFILE]) else { return };
    assert!(content, "\n{said}");
}

#[test]
fn every_image_is_of_one_version() {
    let dockerfile = text(DOCKERFILE);
    let mut images: Vec<_> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("ARG ")?.split_once("_IMAGE=").map(|(_, image)| image))
        .map(str::to_owned)
        .collect();
    assert_eq!(images.len(), 2, "to build with and to run in");
    let compose = document("deploy/docker-compose.yml");
    for (_, service) in compose["services"].as_object().expect("services") {
        let image = service["image"].as_str().expect("an image").to_owned();
        images.push(image.replace("${DA_VERSION:-0.1.0}", "0.1.0"));
    }
    for file in
        yaml_files("deploy/kubernetes").iter().filter(|file| file.ends_with("kustomization.yaml"))
    {
        let of_this = document(file);
        for image in of_this["images"].as_array().into_iter().flatten() {
            let part = |name: &str| image[name].as_str().expect("a text").to_owned();
            images.push(format!("{}:{}", part("name"), part("newTag")));
        }
    }
    assert!(images.len() >= 10, "{images:?}");
    for image in images {
        let (name, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
        let version = tag.trim_start_matches('v').split('-').next().expect("a part");
        let numbers: Vec<_> = version.split('.').collect();
        let is_whole = numbers.len() >= 2 && numbers.iter().all(|part| part.parse::<u32>().is_ok());
        assert!(is_whole, "{name}: {tag} may be another image tomorrow");
        let version = env!("CARGO_PKG_VERSION");
        assert!(name != "digital-actors" || tag == version, "{image} is not version {version}");
    }
}

#[test]
fn the_compiler_is_the_one_that_the_workspace_asks_for() {
    let wanted = format!("/rust:{}.", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text(DOCKERFILE).contains(&wanted), "{wanted}");
}

#[test]
fn what_the_build_takes_in_is_all_of_the_workspace_and_nothing_else() {
    let ignored = text(".dockerignore");
    let mut lines = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "what is not named stays out");
    let taken: Vec<_> = lines.filter_map(|line| line.strip_prefix('!')).collect();
    let manifest: toml::Table = text("Cargo.toml").parse().expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members");
    for member in members {
        let member = member.as_str().expect("a path");
        let top = member.split('/').next().expect("a folder");
        assert!(taken.contains(&top), "{member} is not taken in");
    }
    for file in ["Cargo.toml", "Cargo.lock", ".cargo"] {
        assert!(taken.contains(&file), "{file} is not taken in");
    }
    for secret in [".env", ".git", "target", "shared", "."] {
        assert!(!taken.contains(&secret), "{secret} is taken in");
    }
}
