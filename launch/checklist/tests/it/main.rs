#[cfg(test)]
mod altered;
#[cfg(test)]
mod document;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod independent;
#[cfg(test)]
mod launch;
#[cfg(test)]
mod on_paper;
#[cfg(test)]
mod own_template;
#[cfg(test)]
mod read_back;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod sealed;
