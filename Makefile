# The four things a newcomer needs. Everything else is `cargo` and `cargo xtask`.

.PHONY: build demo test bench

# The binary, at target/release/tradewind (or under $CARGO_TARGET_DIR).
build:
	scripts/prerequisites.sh build
	scripts/dashboard.sh build
	cargo build --release --locked --bin tradewind

# A sample shop with shoppers, everything running, in a folder that is removed afterwards. The
# build is the one the tests use: half the time of the optimised one.
demo:
	scripts/prerequisites.sh build
	scripts/dashboard.sh build
	cargo build --locked --workspace --bins
	"$${CARGO_TARGET_DIR:-target}/debug/tradewind" demo

# Everything that must hold before a change goes in.
test:
	scripts/prerequisites.sh test
	scripts/test.sh

# Side by side with other systems on this machine; figures, not tests.
bench: build
	scripts/prerequisites.sh test
	bench/run.sh
