#[cfg(test)]
mod damage;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod other_tool;
