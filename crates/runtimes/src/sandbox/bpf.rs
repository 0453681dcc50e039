//! Programs for the kernel that look at each system call (seccomp(2), and the classic BPF of
//! `linux/filter.h`): lines with labels, and what makes instructions of them.

#[cfg(target_arch = "x86_64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_00b7;
/// On x86 the numbers of the x32 interface, which would walk past all others.
pub(crate) const X32: u32 = 0x4000_0000;

/// Where the parts of `struct seccomp_data` are; of arguments the lower half.
pub(crate) const NUMBER: u32 = 0;
pub(crate) const ARCHITECTURE_AT: u32 = 4;
pub(crate) const FIRST_ARGUMENT: u32 = 16;
pub(crate) const SECOND_ARGUMENT: u32 = 24;

pub(crate) const EQUAL: u16 = 0x15;
pub(crate) const AT_LEAST: u16 = 0x35;
pub(crate) const ANY_BIT: u16 = 0x45;
const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;

/// One line of a program; `Label` names places to jump to, which are further down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Line<Label> {
    Load(u32),
    /// Jumps where the comparison holds.
    If(u16, u32, Label),
    Return(u32),
    Here(Label),
}

/// The number of a call, as programs compare it.
pub(crate) fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// The answer that lets a call fail.
pub(crate) fn failure(code: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | code.cast_unsigned()
}

/// Puts distances in the place of labels; none where a label is missing or too far.
pub(crate) fn assemble<Label: Copy + PartialEq>(
    lines: &[Line<Label>],
) -> Option<Vec<libc::sock_filter>> {
    let mut places = Vec::new();
    let mut length = 0;
    for line in lines {
        match line {
            Line::Here(label) => places.push((*label, length)),
            _ => length += 1,
        }
    }
    let mut program: Vec<libc::sock_filter> = Vec::with_capacity(length);
    for line in lines {
        let (code, k, jt) = match line {
            Line::Here(_) => continue,
            Line::Load(at) => (LOAD, *at, 0),
            Line::Return(what) => (RETURN, *what, 0),
            Line::If(comparison, value, to) => {
                let (_, place) = places.iter().find(|(label, _)| label == to)?;
                let distance = place.checked_sub(program.len() + 1)?;
                (*comparison, *value, u8::try_from(distance).ok()?)
            }
        };
        program.push(libc::sock_filter { code, jt, jf: 0, k });
    }
    Some(program)
}

/// Runs a program as the kernel does.
#[cfg(test)]
pub(crate) fn decide(
    program: &[libc::sock_filter],
    architecture: u32,
    call: u32,
    arguments: [u32; 2],
) -> u32 {
    let (mut at, mut value) = (0, 0);
    loop {
        let line = program[at];
        at += 1;
        let holds = match line.code {
            RETURN => return line.k,
            LOAD => {
                value = match line.k {
                    NUMBER => call,
                    ARCHITECTURE_AT => architecture,
                    FIRST_ARGUMENT => arguments[0],
                    SECOND_ARGUMENT => arguments[1],
                    other => panic!("no such place: {other}"),
                };
                continue;
            }
            EQUAL => value == line.k,
            AT_LEAST => value >= line.k,
            ANY_BIT => value & line.k != 0,
            other => panic!("no such instruction: {other}"),
        };
        at += usize::from(if holds { line.jt } else { line.jf });
    }
}
