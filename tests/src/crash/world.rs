//! Customers that come, change, move and leave.

use std::collections::{BTreeSet, HashMap};

use super::dice::Dice;
use super::picture::Membership;
use crate::{Person, Scene};

/// Everybody that the source has now.
#[derive(Debug, Clone)]
pub(super) struct World {
    customers: Vec<Customer>,
    /// Number of the next one to come.
    next: u32,
    segments: usize,
}

#[derive(Debug, Clone)]
struct Customer {
    person: Person,
    /// In `newsletter` and in `vip`.
    is_in: [bool; 2],
}

/// Who has an address, and is in a segment with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    id: String,
    membership: Membership,
}

/// The segments that an export may have.
pub(super) const SEGMENTS: [&str; 2] = ["newsletter", "vip"];

impl World {
    /// So many customers in so many segments, one or two.
    pub(super) fn new(customers: u32, segments: usize, dice: &mut Dice) -> Self {
        let mut world = Self { customers: Vec::new(), next: 1, segments };
        world.welcome(customers, dice);
        world
    }

    fn welcome(&mut self, count: u32, dice: &mut Dice) {
        for number in self.next..self.next + count {
            let in_vip = dice.hits(30);
            self.customers.push(Customer { person: Person::new(number), is_in: [!in_vip || dice.hits(50), in_vip] });
        }
        self.next += count;
    }

    /// Lets time pass: some change, move, leave, get a wrong address or that of somebody else, and up to `newcomers` come.
    pub(super) fn turn(&mut self, newcomers: u32, dice: &mut Dice) {
        let next = self.next;
        for customer in &mut self.customers {
            let person = &mut customer.person;
            match dice.between(1..=100) {
                1..=12 => person.given_name = format!("Given {}", dice.between(1..=1_000_000)),
                13..=16 => person.employer = dice.pick(&["Fjord AS", "Fjell AS", "Vidde AS"]).to_owned(),
                17..=22 => customer.is_in[0] = !customer.is_in[0],
                23..=26 => customer.is_in[1] = !customer.is_in[1],
                27 => person.email = dice.pick(&["", "no address"]).to_owned(),
                28 => person.email = format!("p{}@example.com", dice.between(1..=next)),
                29 => person.email = format!("{}.{}@example.com", person.id, dice.between(1..=1_000_000)),
                _ => {}
            }
        }
        self.customers.retain(|_| !dice.hits(3));
        let newcomers = dice.between(0..=newcomers);
        self.welcome(newcomers, dice);
    }

    /// Lets so many leave and as many come, one of them without an address, and everybody else change.
    pub(super) fn renew(&mut self, count: u32, dice: &mut Dice) {
        self.customers.drain(..self.customers.len().min(count as usize));
        for customer in &mut self.customers {
            customer.person.given_name = format!("Given {}", dice.between(1..=1_000_000));
        }
        self.welcome(count, dice);
        self.customers.iter_mut().next_back().into_iter().for_each(|customer| customer.person.email.clear());
    }

    /// Writes the segments into the source of a scene.
    pub(super) fn write(&self, scene: &Scene) {
        for (segment, id) in SEGMENTS.iter().take(self.segments).enumerate() {
            let members: Vec<Person> = self
                .customers
                .iter()
                .filter(|customer| customer.is_in[segment])
                .map(|customer| customer.person.clone())
                .collect();
            scene.segment(id, &members);
        }
    }

    /// The addresses of those who are in a segment.
    pub(super) fn emails(&self) -> BTreeSet<String> {
        self.members().map(|customer| customer.person.email.clone()).collect()
    }

    /// Those of them that are nobody else's and never were: what becomes of their owners depends on nothing that was before.
    pub(super) fn own_emails(&self) -> BTreeSet<String> {
        let mut owners: HashMap<&str, u32> = HashMap::new();
        self.customers.iter().for_each(|customer| *owners.entry(&customer.person.email).or_default() += 1);
        let is_own = |person: &Person| {
            let number = &person.id[1..];
            let first = format!("p{number}@example.com");
            owners[&*person.email] == 1 && (person.email == first || person.email.starts_with(&format!("c{number}.")))
        };
        let members = self.members().filter(|customer| is_own(&customer.person));
        members.map(|customer| customer.person.email.clone()).collect()
    }

    /// Who is in which segment with which address.
    pub(super) fn owners(&self) -> BTreeSet<Owner> {
        let segments = SEGMENTS.iter().take(self.segments).enumerate();
        let owners = segments.flat_map(|(segment, title)| {
            let members = self.customers.iter().filter(move |customer| customer.is_in[segment]);
            members.map(move |Customer { person: Person { id, email, .. }, .. }| Owner {
                id: id.clone(),
                membership: Membership { title: (*title).to_owned(), email: email.clone() },
            })
        });
        owners.collect()
    }

    /// Of the memberships of these, those whose owner is in the segment now with an address that cannot be used, or not as
    /// theirs: such a row keeps its old address where it was put.
    pub(super) fn kept(&self, owners: BTreeSet<Owner>) -> BTreeSet<Membership> {
        let own = self.own_emails();
        let is_kept = |owner: &Owner, now: &Owner| {
            owner.id == now.id && owner.membership.title == now.membership.title && !own.contains(&now.membership.email)
        };
        let now = self.owners();
        let kept = owners.into_iter().filter(|owner| now.iter().any(|now| is_kept(owner, now)));
        kept.map(|owner| owner.membership).collect()
    }

    fn members(&self) -> impl Iterator<Item = &Customer> {
        self.customers.iter().filter(|customer| customer.is_in[..self.segments].contains(&true))
    }
}
