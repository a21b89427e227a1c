//! The machine that follows a pickle's steps: a stack, marks on it, and a memo.
//!
//! It makes plain values and descriptions of tensors, and calls nothing.

use super::{
    PickleError,
    cursor::Cursor,
    global::{self, Global},
    heap::{Heap, Value},
    opcode::{known as op, refused_name},
};
use std::collections::HashMap;

/// The state between two steps.
pub(super) struct Machine<'a> {
    cursor: Cursor<'a>,
    heap: Heap<'a>,
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    /// Where the step in progress begins, and its name.
    step: (usize, &'static str),
}

/// The description of 100,000 tensors has about 20 MB.
const MAX_PICKLE_BYTES: usize = 64 << 20;
const MAX_STACK: usize = 1 << 20;
const MAX_MEMO: usize = 1 << 22;

impl<'a> Machine<'a> {
    /// Follows all steps and gives what is left: one value.
    pub(super) fn run(pickle: &'a [u8]) -> Result<(Heap<'a>, Value<'a>), PickleError> {
        let (n_bytes, limit) = (pickle.len(), MAX_PICKLE_BYTES);
        if n_bytes > limit {
            return Err(PickleError::TooLarge { n_bytes, limit });
        }
        let mut machine = Self {
            cursor: Cursor::new(pickle),
            heap: Heap::default(),
            stack: vec![],
            marks: vec![],
            memo: HashMap::new(),
            step: (0, "start"),
        };
        loop {
            let offset = machine.cursor.offset();
            let code = machine.cursor.u8()?;
            if code == op::STOP {
                machine.step = (offset, "STOP");
                let root = machine.pop()?;
                return Ok((machine.heap, root));
            }
            machine.follow(code, offset)?;
            if machine.stack.len() + machine.marks.len() > MAX_STACK {
                let (what, limit) = ("values on its stack", MAX_STACK);
                return Err(PickleError::TooMuch { what, limit });
            }
        }
    }

    fn follow(&mut self, code: u8, offset: usize) -> Result<(), PickleError> {
        self.step = (offset, "a step");
        match code {
            op::PROTO => match self.cursor.u8()? {
                2..=5 => Ok(()),
                protocol => Err(PickleError::Protocol(protocol)),
            },
            op::FRAME => self.cursor.u64().map(|_| ()),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::NONE => self.push(Value::None),
            op::NEWTRUE | op::NEWFALSE => self.push(Value::Bool),
            op::BININT | op::BININT1 | op::BININT2 | op::LONG1 | op::BINFLOAT => self.number(code),
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => self.text(code),
            op::EMPTY_TUPLE | op::TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => self.tuple(code),
            op::EMPTY_LIST | op::APPEND | op::APPENDS => self.list(code),
            op::EMPTY_DICT | op::SETITEM | op::SETITEMS => self.dict(code),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(code),
            op::BINGET | op::LONG_BINGET => self.get(code),
            op::GLOBAL | op::STACK_GLOBAL => self.global(code),
            op::REDUCE => self.reduce(),
            op::BUILD => self.build(),
            op::BINPERSID => self.persistent(),
            _ => Err(PickleError::Opcode {
                name: refused_name(code),
                code,
                offset,
            }),
        }
    }

    fn number(&mut self, code: u8) -> Result<(), PickleError> {
        self.step.1 = "LONG1";
        let value = match code {
            op::BININT => Value::Int(self.cursor.array().map(i32::from_le_bytes)?.into()),
            op::BININT1 => Value::Int(self.cursor.u8()?.into()),
            op::BININT2 => Value::Int(self.cursor.array().map(u16::from_le_bytes)?.into()),
            op::BINFLOAT => {
                self.cursor.take(8)?;
                Value::Float
            }
            _ => {
                let n_bytes = usize::from(self.cursor.u8()?);
                let bytes = self.cursor.take(n_bytes)?;
                if n_bytes > 8 {
                    return Err(self.needs("an integer of at most 64 bits"));
                }
                // Two's complement: the sign of the last byte goes on.
                let is_negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
                let mut wide = [if is_negative { 0xff } else { 0 }; 8];
                wide[..n_bytes].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(wide))
            }
        };
        self.push(value)
    }

    fn text(&mut self, code: u8) -> Result<(), PickleError> {
        let n_bytes = match code {
            op::SHORT_BINUNICODE => self.cursor.u8()?.into(),
            op::BINUNICODE => self.cursor.u32()?.into(),
            _ => self.cursor.u64()?,
        };
        let text = self.cursor.text(n_bytes)?;
        self.push(Value::Text(text))
    }

    fn tuple(&mut self, code: u8) -> Result<(), PickleError> {
        self.step.1 = "TUPLE";
        let items = match code {
            op::EMPTY_TUPLE => vec![],
            op::TUPLE => self.pop_to_mark()?,
            op::TUPLE1 => self.pop_n(1)?,
            op::TUPLE2 => self.pop_n(2)?,
            _ => self.pop_n(3)?,
        };
        let tuple = self.heap.tuple(items)?;
        self.push(tuple)
    }

    fn list(&mut self, code: u8) -> Result<(), PickleError> {
        self.step.1 = "APPEND";
        let items = match code {
            op::EMPTY_LIST => {
                let list = self.heap.list()?;
                return self.push(list);
            }
            op::APPEND => self.pop_n(1)?,
            _ => self.pop_to_mark()?,
        };
        match self.top()? {
            Value::List(list) => self.heap.append(list, &items),
            _ => Err(self.needs("a list")),
        }
    }

    fn dict(&mut self, code: u8) -> Result<(), PickleError> {
        self.step.1 = "SETITEM";
        let items = match code {
            op::EMPTY_DICT => {
                let dict = self.heap.dict()?;
                return self.push(dict);
            }
            op::SETITEM => self.pop_n(2)?,
            _ => self.pop_to_mark()?,
        };
        let Value::Dict(dict) = self.top()? else {
            return Err(self.needs("a dictionary"));
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.needs("a value for every key"));
        }
        for [key, value] in pairs {
            self.heap.set(dict, *key, *value)?;
        }
        Ok(())
    }

    fn put(&mut self, code: u8) -> Result<(), PickleError> {
        self.step.1 = "PUT";
        let place = match code {
            op::BINPUT => self.cursor.u8()?.into(),
            op::LONG_BINPUT => self.cursor.u32()?,
            // The limit on its size keeps this within 32 bits.
            _ => self.memo.len() as u32,
        };
        let value = self.top()?;
        self.memo.insert(place, value);
        match self.memo.len() <= MAX_MEMO {
            true => Ok(()),
            false => Err(PickleError::TooMuch {
                what: "values in its memo",
                limit: MAX_MEMO,
            }),
        }
    }

    fn get(&mut self, code: u8) -> Result<(), PickleError> {
        self.step.1 = "GET";
        let place = match code {
            op::BINGET => self.cursor.u8()?.into(),
            _ => self.cursor.u32()?,
        };
        match self.memo.get(&place) {
            Some(&value) => self.push(value),
            None => Err(self.needs("a value that was put there")),
        }
    }

    fn global(&mut self, code: u8) -> Result<(), PickleError> {
        self.step.1 = "GLOBAL";
        let (module, name) = if code == op::GLOBAL {
            (self.cursor.line()?, self.cursor.line()?)
        } else {
            let names = self.pop_n(2)?;
            let [Value::Text(module), Value::Text(name)] = names[..] else {
                return Err(self.needs("two texts"));
            };
            (module, name)
        };
        let global = Global::find(module, name)?;
        self.push(Value::Global(global))
    }

    fn reduce(&mut self) -> Result<(), PickleError> {
        self.step.1 = "REDUCE";
        let operands = self.pop_n(2)?;
        let [Value::Global(global), Value::Tuple(arguments)] = operands[..] else {
            return Err(self.needs("a function and a tuple"));
        };
        let arguments = self.heap.items(arguments).to_vec();
        match global.call(&mut self.heap, &arguments)? {
            Some(value) => self.push(value),
            None => Err(self.needs("the arguments of a tensor")),
        }
    }

    /// Gives a dictionary attributes, which say nothing about its tensors.
    fn build(&mut self) -> Result<(), PickleError> {
        self.step.1 = "BUILD";
        self.pop_n(1)?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            _ => Err(self.needs("a dictionary")),
        }
    }

    fn persistent(&mut self) -> Result<(), PickleError> {
        self.step.1 = "BINPERSID";
        let Value::Tuple(id) = self.pop()? else {
            return Err(self.needs("the id of a storage"));
        };
        match global::storage(self.heap.items(id)) {
            Some(storage) => self.push(storage),
            None => Err(self.needs("the id of a storage")),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "so that a step can end with it")]
    fn push(&mut self, value: Value<'a>) -> Result<(), PickleError> {
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value<'a>, PickleError> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    /// The highest value above the last mark.
    fn top(&self) -> Result<Value<'a>, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(value) if self.stack.len() > floor => Ok(*value),
            _ => Err(self.needs("a value on the stack")),
        }
    }

    fn pop_n(&mut self, n_values: usize) -> Result<Vec<Value<'a>>, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(n_values) {
            Some(start) if start >= floor => Ok(self.stack.split_off(start)),
            _ => Err(self.needs("more values on the stack")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.needs("a mark on the stack")),
        }
    }

    fn needs(&self, needs: &'static str) -> PickleError {
        let (offset, step) = self.step;
        PickleError::Operand {
            step,
            needs,
            offset,
        }
    }
}
