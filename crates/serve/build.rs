//! Looks for the dashboard's files before they are embedded.
//!
//! Guarantees: the crate is built again when they change, and without them too: then the server's
//! page says how they are made, and so does the build.
//! Left out: making them, which needs Node and is a step of `make`.

fn main() {
    let dist = std::path::Path::new("../../web/dist");
    // A path that is not there would have the crate built again each time.
    let _ = std::fs::create_dir_all(dist);
    println!("cargo::rerun-if-changed=../../web/dist");
    println!("cargo::rerun-if-changed=../../web/panels");
    if !dist.join("index.html").is_file() {
        println!(
            "cargo::warning=the dashboard is not in this build: web/dist is missing; \
             `make build` makes it, or `npm ci && npm run build` in web/"
        );
    }
}
