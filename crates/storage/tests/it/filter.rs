//! Real failures of system calls, made by the kernel: a filter of system calls answers some of them
//! with an error. It cannot be lifted again, so it is only put on children.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Lets every thread fail to write to files from a place on.
pub(crate) fn fail_writes_from(offset: u64, errno: i32) {
    let beyond = |argument| {
        let ge = SeccompCmpOp::Ge;
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, ge, offset);
        vec![SeccompRule::new(vec![condition.unwrap()]).unwrap()]
    };
    // SQLite seeks before it writes; others write at a place.
    let rules = [
        (libc::SYS_lseek, beyond(1)),
        (libc::SYS_pwrite64, beyond(3)),
    ];
    apply(rules.into(), errno);
}

/// Lets every thread fail to make files durable.
pub(crate) fn fail_syncs(errno: i32) {
    let always = [
        (libc::SYS_fsync, Vec::new()),
        (libc::SYS_fdatasync, Vec::new()),
    ];
    apply(always.into(), errno);
}

fn apply(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let failing = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, failing, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter_all_threads(&program).unwrap();
}
