//! A document, cases made of it, answers judged.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod judging;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod support;
