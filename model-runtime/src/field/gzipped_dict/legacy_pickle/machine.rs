//! The stack machine that a pickle is a program for.
use std::collections::HashMap;

use super::constructor::{Constructor, Made, call, uuid};
use super::input::Input;
use super::{BROKEN, MAX_VALUES, Node, RUNS_CODE, Reason, TOO_MANY, UNKNOWN, opcode};

/// The newest protocol, of Python 3.8.
const NEWEST_PROTOCOL: u8 = 5;

/// The nodes that a pickle makes, and the index of the one that is its value.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Node<'_>>, usize), Reason> {
    let mut machine = Machine {
        input: Input(bytes),
        nodes: Vec::new(),
        stack: Vec::new(),
        memo: HashMap::new(),
        pushes_left: MAX_VALUES,
    };
    loop {
        match machine.input.byte()? {
            opcode::STOP => break,
            opcode => machine.step(opcode)?,
        }
    }
    let root = machine.pop()?;
    // Python would ignore the rest; no one who pickles writes any, so this is something else.
    if machine.input.0.is_empty() { Ok((machine.nodes, root)) } else { Err(BROKEN) }
}

struct Machine<'a> {
    input: Input<'a>,
    nodes: Vec<Node<'a>>,
    stack: Vec<Slot>,
    /// What the pickle remembers, by the numbers it gives.
    memo: HashMap<usize, usize>,
    /// Whatever is made or held is pushed first, so this bounds the memory.
    pushes_left: usize,
}

/// A place on the stack.
#[derive(Clone, Copy)]
enum Slot {
    /// Where the items of a container begin.
    Mark,
    /// The index of a node.
    Node(usize),
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), Reason> {
        if let Some(node) = self.input.literal(opcode)? {
            return self.push_new(node);
        }
        match opcode {
            opcode::PROTO => self.protocol(),
            opcode::FRAME => self.input.frame(),
            opcode::MARK => self.push(Slot::Mark),
            opcode::POP => self.stack.pop().map(drop).ok_or(BROKEN),
            opcode::POP_MARK => self.pop_to_mark().map(drop),
            opcode::DUP => self.top().and_then(|top| self.push(Slot::Node(top))),
            opcode::PUT | opcode::BINPUT | opcode::LONG_BINPUT | opcode::MEMOIZE => self.remember(opcode),
            opcode::GET | opcode::BINGET | opcode::LONG_BINGET => self.recall(opcode),
            opcode::GLOBAL | opcode::STACK_GLOBAL => self.import(opcode),
            opcode::REDUCE => self.call(),
            opcode::NEWOBJ => self.new_object(),
            opcode::BUILD => self.build(),
            _ if opcode::CODE.contains(&opcode) => Err(RUNS_CODE),
            _ => self.container(opcode),
        }
    }

    fn protocol(&mut self) -> Result<(), Reason> {
        if self.input.byte()? > NEWEST_PROTOCOL { Err(UNKNOWN) } else { Ok(()) }
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Reason> {
        let key = match opcode {
            opcode::PUT => self.input.parsed()?,
            opcode::BINPUT => self.input.unsigned::<1>()?,
            opcode::LONG_BINPUT => self.input.unsigned::<4>()?,
            _ => self.memo.len(),
        };
        // Python remembers a value once, when it pushes it; a memo of more is a memory hog.
        if self.memo.len() > MAX_VALUES {
            return Err(TOO_MANY);
        }
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), Reason> {
        let key = match opcode {
            opcode::GET => self.input.parsed()?,
            opcode::BINGET => self.input.unsigned::<1>()?,
            _ => self.input.unsigned::<4>()?,
        };
        let node = *self.memo.get(&key).ok_or(BROKEN)?;
        self.push(Slot::Node(node))
    }

    /// Remembers which constructor is named; nothing is imported.
    fn import(&mut self, opcode: u8) -> Result<(), Reason> {
        let constructor = if opcode == opcode::GLOBAL {
            Constructor::named(self.input.name()?, self.input.name()?)?
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.nodes.get(module), self.nodes.get(name)) {
                (Some(Node::Text(module)), Some(Node::Text(name))) => Constructor::named(module, name)?,
                _ => return Err(RUNS_CODE),
            }
        };
        self.push_new(Node::Constructor(constructor))
    }

    /// Pushes what the constructor below the arguments would make of them.
    fn call(&mut self) -> Result<(), Reason> {
        let (args, callable) = (self.pop()?, self.pop()?);
        let (Some(Node::Constructor(constructor)), Some(Node::Tuple(args))) =
            (self.nodes.get(callable), self.nodes.get(args))
        else {
            return Err(RUNS_CODE);
        };
        match call(&self.nodes, *constructor, args)? {
            Made::New(node) => self.push_new(node),
            Made::Same(node) => self.push(Slot::Node(node)),
            Made::Set(items) => self.copied(items).and_then(|items| self.push_new(Node::Set(items))),
            Made::FrozenSet(items) => self.copied(items).and_then(|items| self.push_new(Node::Tuple(items))),
            Made::Dict(items) => self.pairs(items).and_then(|pairs| self.push_new(Node::Dict(pairs))),
        }
    }

    /// The items of a list, which count as if each had been pushed again.
    fn copied(&mut self, list: usize) -> Result<Vec<usize>, Reason> {
        let Some(Node::List(items) | Node::Tuple(items)) = self.nodes.get(list) else {
            return Err(RUNS_CODE);
        };
        self.pushes_left = self.pushes_left.checked_sub(items.len()).ok_or(TOO_MANY)?;
        Ok(items.clone())
    }

    /// The items of a list of pairs.
    fn pairs(&mut self, list: usize) -> Result<Vec<(usize, usize)>, Reason> {
        let items = self.copied(list)?;
        let pair = |item: usize| match self.nodes.get(item) {
            Some(Node::List(pair) | Node::Tuple(pair)) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(BROKEN),
        };
        items.into_iter().map(pair).collect()
    }

    /// An object of a class, whose state comes with BUILD.
    fn new_object(&mut self) -> Result<(), Reason> {
        let (args, class) = (self.pop()?, self.pop()?);
        match (self.nodes.get(class), self.nodes.get(args)) {
            (Some(Node::Constructor(Constructor::Uuid)), Some(Node::Tuple(args))) if args.is_empty() => {
                self.push_new(Node::Uuid(None))
            }
            _ => Err(RUNS_CODE),
        }
    }

    fn build(&mut self) -> Result<(), Reason> {
        let (state, object) = (self.pop()?, self.top()?);
        let Some(Node::Uuid(None)) = self.nodes.get(object) else { return Err(RUNS_CODE) };
        self.nodes[object] = Node::Uuid(Some(uuid(&self.nodes, state)?));
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), Reason> {
        match opcode {
            opcode::LIST => self.collect(Node::List),
            opcode::TUPLE | opcode::FROZENSET => self.collect(Node::Tuple),
            opcode::DICT => {
                let pairs = self.pop_pairs()?;
                self.push_new(Node::Dict(pairs))
            }
            opcode::TUPLE1 => self.tuple::<1>(),
            opcode::TUPLE2 => self.tuple::<2>(),
            opcode::TUPLE3 => self.tuple::<3>(),
            _ => self.fill(opcode),
        }
    }

    fn collect(&mut self, container: fn(Vec<usize>) -> Node<'a>) -> Result<(), Reason> {
        let items = self.pop_to_mark()?;
        self.push_new(container(items))
    }

    fn tuple<const N: usize>(&mut self) -> Result<(), Reason> {
        let mut items = vec![0; N];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        self.push_new(Node::Tuple(items))
    }

    /// Adds what is on top of the stack to the container below it.
    fn fill(&mut self, opcode: u8) -> Result<(), Reason> {
        let items = match opcode {
            opcode::APPEND => vec![self.pop()?],
            opcode::APPENDS | opcode::ADDITEMS => self.pop_to_mark()?,
            opcode::SETITEM | opcode::SETITEMS => return self.fill_dict(opcode),
            _ => return Err(UNKNOWN),
        };
        let top = self.top()?;
        match self.nodes.get_mut(top) {
            Some(Node::List(list)) if opcode != opcode::ADDITEMS => list.extend(items),
            Some(Node::Set(set)) if opcode == opcode::ADDITEMS => set.extend(items),
            _ => return Err(BROKEN),
        }
        Ok(())
    }

    fn fill_dict(&mut self, opcode: u8) -> Result<(), Reason> {
        let pairs = match opcode {
            opcode::SETITEMS => self.pop_pairs()?,
            _ => {
                let value = self.pop()?;
                vec![(self.pop()?, value)]
            }
        };
        let top = self.top()?;
        let Some(Node::Dict(dict)) = self.nodes.get_mut(top) else { return Err(BROKEN) };
        dict.extend(pairs);
        Ok(())
    }

    fn push_new(&mut self, node: Node<'a>) -> Result<(), Reason> {
        self.push(Slot::Node(self.nodes.len()))?;
        self.nodes.push(node);
        Ok(())
    }

    fn push(&mut self, slot: Slot) -> Result<(), Reason> {
        self.pushes_left = self.pushes_left.checked_sub(1).ok_or(TOO_MANY)?;
        self.stack.push(slot);
        Ok(())
    }

    fn top(&self) -> Result<usize, Reason> {
        match self.stack.last() {
            Some(Slot::Node(node)) => Ok(*node),
            Some(Slot::Mark) | None => Err(BROKEN),
        }
    }

    fn pop(&mut self) -> Result<usize, Reason> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The nodes above the last mark, first pushed first; the mark goes too.
    fn pop_to_mark(&mut self) -> Result<Vec<usize>, Reason> {
        let mut items = Vec::new();
        while let Slot::Node(node) = self.stack.pop().ok_or(BROKEN)? {
            items.push(node);
        }
        items.reverse();
        Ok(items)
    }

    /// The nodes above the last mark, which are keys and values by turns.
    fn pop_pairs(&mut self) -> Result<Vec<(usize, usize)>, Reason> {
        let items = self.pop_to_mark()?;
        let (pairs, []) = items.as_chunks() else { return Err(BROKEN) };
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }
}
