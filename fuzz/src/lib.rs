//! What several targets share.

/// For the `init` of a target: a panic of a PDF parser in the thread that guards against it is an answer
/// (`tminus_seal::guarded`); libFuzzer's hook would end the run. Any other panic still does.
pub fn leave_the_guard_alone() {
    let ends_the_run = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("pdf") {
            ends_the_run(panic);
        }
    }));
}
