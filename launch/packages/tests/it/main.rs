#[cfg(test)]
mod disclosure;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod rollback;
