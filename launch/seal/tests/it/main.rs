#[cfg(test)]
mod altered;
#[cfg(test)]
mod independent;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod paper;
#[cfg(test)]
mod pki;
#[cfg(test)]
mod sealing;
