::core::compile_error! {
    "unknown option `tll`\n\n= help: did you mean `ttl`?"
}
::core::compile_error! {
    "the function has no argument `pool` to skip\n\n= help: the only argument is `id`"
}
::core::compile_error! {
    "the key uses `{idd}`, but the function has no argument `idd`\n\n= help: did you mean `id`? the only argument is `id`"
}
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}
