//! What the tool may still ask of the kernel, once nothing more has to be set up.

use super::super::job::Job;
use super::super::spec::WorkspaceMount;
use super::super::sys;
use super::Failed;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// No tool needs more open files, and no host gives less.
const OPEN_FILES_MAX: u64 = 16_384;

/// Limits by the kernel's older means: always some, and where there is no control group all.
pub(super) fn limits(job: &Job) -> io::Result<()> {
    sys::set_limit(libc::RLIMIT_CORE, 0)?;
    sys::set_limit(libc::RLIMIT_NOFILE, OPEN_FILES_MAX)?;
    if let Some(bytes) = job.memory_bytes {
        sys::set_limit(libc::RLIMIT_AS, bytes)?;
    }
    if let Some(pids) = job.pids {
        sys::set_limit(libc::RLIMIT_NPROC, u64::from(pids))?;
    }
    // The tool dies before the node does when memory is short.
    std::fs::write("/proc/self/oom_score_adj", "500").or_else(|error| match error.raw_os_error() {
        Some(libc::EROFS | libc::EACCES) => Ok(()),
        _ => Err(error),
    })
}

/// Landlock (Linux 5.13 and later): a second fence that does not rest on mounts.
pub(super) fn landlock(job: &Job) -> Result<(), Failed> {
    restrict(job).map_err(|error| ("setting up Landlock", io::Error::other(error.to_string())))
}

fn restrict(job: &Job) -> Result<(), landlock::RulesetError> {
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .scope(Scope::AbstractUnixSocket)?
        .scope(Scope::Signal)?
        .create()?;
    if let Ok(all) = PathFd::new("/") {
        rules = rules.add_rule(PathBeneath::new(all, AccessFs::from_read(abi)))?;
    }
    for path in writable(job) {
        if let Ok(path) = PathFd::new(&path) {
            rules = rules.add_rule(PathBeneath::new(path, AccessFs::from_all(abi)))?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}

fn writable(job: &Job) -> impl Iterator<Item = PathBuf> {
    let fixed = ["/tmp", "/var/tmp", "/run", "/dev", "/proc"].map(PathBuf::from);
    let workspace = job.spec.workspace.as_ref().map(WorkspaceMount::at).cloned();
    let asked = job.spec.write.iter().cloned();
    fixed
        .into_iter()
        .chain([job.spec.home.clone()])
        .chain(workspace)
        .chain(asked)
}

/// System calls that no tool needs and that have opened kernels before; they fail with EPERM.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_syslog,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_personality,
];

/// Namespaces that `clone` must not make; its flags cannot be read in `clone3`, which is denied whole.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Kinds of sockets that programs use.
const SOCKETS: &[libc::c_int] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Puts characters into a terminal's input.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

pub(super) fn seccomp() -> Result<(), Failed> {
    let named =
        |error: &dyn std::fmt::Display| ("setting up seccomp", io::Error::other(error.to_string()));
    let failed = |error: seccompiler::BackendError| named(&error);
    let missing = filter([(libc::SYS_clone3, Vec::new())].into(), libc::ENOSYS).map_err(failed)?;
    let denied = filter(forbidden().map_err(failed)?, libc::EPERM).map_err(failed)?;
    for program in [missing, denied] {
        seccompiler::apply_filter(&program).map_err(|error| named(&error))?;
    }
    Ok(())
}

type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

fn forbidden() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let mut clones = Vec::new();
    for namespace in NAMESPACES {
        let flag = u64::from(namespace.cast_unsigned());
        clones.push(SeccompRule::new(vec![condition(
            0,
            SeccompCmpOp::MaskedEq(flag),
            flag,
        )?])?);
    }
    rules.insert(libc::SYS_clone, clones);
    let mut terminals = Vec::new();
    for request in [TIOCSTI, TIOCLINUX] {
        terminals.push(SeccompRule::new(vec![condition(
            1,
            SeccompCmpOp::Eq,
            request,
        )?])?);
    }
    rules.insert(libc::SYS_ioctl, terminals);
    let others = SOCKETS
        .iter()
        .map(|family| condition(0, SeccompCmpOp::Ne, u64::from(family.cast_unsigned())))
        .collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(others)?]);
    Ok(rules)
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn filter(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let denied = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture)?.try_into()
}
