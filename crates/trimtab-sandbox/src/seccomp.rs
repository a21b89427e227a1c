//! The system-call filter: takes away what namespaces and resource limits leave open.
//!
//! It allows by default, because an interpreter may use any ordinary call, and refuses
//!
//! * ways to look into or steer other processes, kernel interfaces with a history of holes, and
//!   everything that makes new namespaces or mounts;
//! * memory that no limit counts: memory files, System V and POSIX message queues and segments;
//! * sockets other than Unix and IP ones: network namespaces do not confine every family
//!   (`AF_VSOCK` reaches the host of a virtual machine);
//! * changing the limits of other processes.
//!
//! A refused call fails with `EPERM`. `clone3` fails with `ENOSYS`, so that the C library falls
//! back to `clone`, whose flags a filter can read. Foreign system-call tables (32-bit and x32)
//! kill the process, since their numbers mean other calls.
//!
//! Source: seccomp(2) and the kernel's `Documentation/userspace-api/seccomp_filter.rst`; the
//! list started from Docker's default profile.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
};

/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64` of `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xC000_00B7;

/// Numbers from here on belong to the x32 table, which shares x86-64's architecture word.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`; both architectures are little-endian, so the low half of an
/// argument comes first.
const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARG0: u32 = 16;
const OFFSET_ARG1: u32 = 24;

const REFUSE: u32 = SECCOMP_RET_ERRNO | libc::EPERM as u32;
const UNKNOWN: u32 = SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32;

/// Calls refused whatever their arguments.
const REFUSED: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Kernel interfaces that an exercise has no use for.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_personality,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_vhangup,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    // Memory that no limit counts.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
];

/// Calls of this architecture alone.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(target_arch = "aarch64")]
const REFUSED_HERE: &[libc::c_long] = &[];

/// The filter as the bytes of `struct sock_filter[]` that `bwrap --seccomp` reads.
pub(crate) fn filter_bytes() -> Vec<u8> {
    program()
        .into_iter()
        .flat_map(Instruction::to_bytes)
        .collect()
}

/// One instruction of classic BPF.
#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u32,
    jump_if_true: u8,
    jump_if_false: u8,
    k: u32,
}

impl Instruction {
    /// The layout of `struct sock_filter`.
    fn to_bytes(self) -> [u8; 8] {
        let (code, k) = ((self.code as u16).to_ne_bytes(), self.k.to_ne_bytes());
        [
            code[0],
            code[1],
            self.jump_if_true,
            self.jump_if_false,
            k[0],
            k[1],
            k[2],
            k[3],
        ]
    }
}

fn program() -> Vec<Instruction> {
    let mut program = vec![
        load(OFFSET_ARCH),
        skip_if_equal(ARCH),
        ret(SECCOMP_RET_KILL_PROCESS),
    ];
    program.push(load(OFFSET_NR));
    #[cfg(target_arch = "x86_64")]
    program.extend([skip_unless_at_least(X32_BIT), ret(SECCOMP_RET_KILL_PROCESS)]);
    for &call in REFUSED.iter().chain(REFUSED_HERE) {
        program.extend([skip_unless_equal(call as u32), ret(REFUSE)]);
    }
    program.extend([skip_unless_equal(libc::SYS_clone3 as u32), ret(UNKNOWN)]);
    for (call, body) in [
        (libc::SYS_clone, refuse_namespace_flags()),
        (libc::SYS_prlimit64, refuse_other_process()),
        (libc::SYS_socket, refuse_other_families()),
        (libc::SYS_socketpair, refuse_other_families()),
        (libc::SYS_ioctl, refuse_terminal_input()),
    ] {
        // Each body ends in a decision, so that jumping over it is all that is needed.
        program.push(jump(BPF_JEQ, call as u32, 0, body.len() as u8));
        program.extend(body);
    }
    program.push(ret(SECCOMP_RET_ALLOW));
    program
}

fn refuse_namespace_flags() -> Vec<Instruction> {
    let mask = Instruction {
        code: BPF_ALU | BPF_AND | BPF_K,
        jump_if_true: 0,
        jump_if_false: 0,
        k: NAMESPACE_FLAGS,
    };
    vec![
        load(OFFSET_ARG0),
        mask,
        skip_if_equal(0),
        ret(REFUSE),
        ret(SECCOMP_RET_ALLOW),
    ]
}

/// `prlimit64(pid, …)`: 0 is the caller itself, and what `setrlimit` uses.
fn refuse_other_process() -> Vec<Instruction> {
    vec![
        load(OFFSET_ARG0),
        skip_if_equal(0),
        ret(REFUSE),
        ret(SECCOMP_RET_ALLOW),
    ]
}

fn refuse_other_families() -> Vec<Instruction> {
    let mut body = vec![load(OFFSET_ARG0)];
    for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
        body.extend([skip_unless_equal(family as u32), ret(SECCOMP_RET_ALLOW)]);
    }
    body.push(ret(REFUSE));
    body
}

/// `TIOCSTI` and `TIOCLINUX` type into a terminal as if its user did.
fn refuse_terminal_input() -> Vec<Instruction> {
    let mut body = vec![load(OFFSET_ARG1)];
    for request in [libc::TIOCSTI as u32, libc::TIOCLINUX as u32] {
        body.extend([skip_unless_equal(request), ret(REFUSE)]);
    }
    body.push(ret(SECCOMP_RET_ALLOW));
    body
}

fn load(offset: u32) -> Instruction {
    Instruction {
        code: BPF_LD | BPF_W | BPF_ABS,
        jump_if_true: 0,
        jump_if_false: 0,
        k: offset,
    }
}

fn ret(action: u32) -> Instruction {
    Instruction {
        code: BPF_RET | BPF_K,
        jump_if_true: 0,
        jump_if_false: 0,
        k: action,
    }
}

fn skip_if_equal(k: u32) -> Instruction {
    jump(BPF_JEQ, k, 1, 0)
}

fn skip_unless_equal(k: u32) -> Instruction {
    jump(BPF_JEQ, k, 0, 1)
}

#[cfg(target_arch = "x86_64")]
fn skip_unless_at_least(k: u32) -> Instruction {
    jump(BPF_JGE, k, 0, 1)
}

fn jump(test: u32, k: u32, jump_if_true: u8, jump_if_false: u8) -> Instruction {
    Instruction {
        code: BPF_JMP | test | BPF_K,
        jump_if_true,
        jump_if_false,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would, from the meaning of the instructions it uses.
    fn decide(arch: u32, call: libc::c_long, args: [u32; 2]) -> u32 {
        let program = program();
        let (mut accumulator, mut idx) = (0, 0);
        loop {
            let Instruction {
                code,
                jump_if_true,
                jump_if_false,
                k,
            } = program[idx];
            idx += 1;
            let mut branch = |is_true: bool| {
                idx += usize::from(if is_true { jump_if_true } else { jump_if_false });
            };
            if code == BPF_LD | BPF_W | BPF_ABS {
                accumulator = match k {
                    OFFSET_NR => call as u32,
                    OFFSET_ARCH => arch,
                    OFFSET_ARG0 => args[0],
                    OFFSET_ARG1 => args[1],
                    _ => panic!("no such field: {k}"),
                };
            } else if code == BPF_ALU | BPF_AND | BPF_K {
                accumulator &= k;
            } else if code == BPF_JMP | BPF_JEQ | BPF_K {
                branch(accumulator == k);
            } else if code == BPF_JMP | BPF_JGE | BPF_K {
                branch(accumulator >= k);
            } else {
                assert_eq!(code, BPF_RET | BPF_K);
                return k;
            }
        }
    }

    #[test]
    fn ordinary_calls_are_allowed() {
        for call in [
            libc::SYS_read,
            libc::SYS_mmap,
            libc::SYS_execve,
            libc::SYS_getrandom,
        ] {
            assert_eq!(decide(ARCH, call, [7, 7]), SECCOMP_RET_ALLOW, "call {call}");
        }
    }

    #[test]
    fn every_listed_call_is_refused() {
        for &call in REFUSED.iter().chain(REFUSED_HERE) {
            assert_eq!(decide(ARCH, call, [0, 0]), REFUSE, "call {call}");
        }
    }

    #[test]
    fn threads_and_forks_are_allowed_but_not_namespaces() {
        let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u32;
        assert_eq!(
            decide(ARCH, libc::SYS_clone, [thread, 0]),
            SECCOMP_RET_ALLOW
        );
        assert_eq!(
            decide(ARCH, libc::SYS_clone, [libc::SIGCHLD as u32, 0]),
            SECCOMP_RET_ALLOW
        );
        let user = (libc::CLONE_NEWUSER | libc::SIGCHLD) as u32;
        assert_eq!(decide(ARCH, libc::SYS_clone, [user, 0]), REFUSE);
        assert_eq!(decide(ARCH, libc::SYS_clone3, [0, 0]), UNKNOWN);
    }

    #[test]
    fn only_unix_and_ip_sockets_open() {
        for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
            assert_eq!(
                decide(ARCH, libc::SYS_socket, [family as u32, 1]),
                SECCOMP_RET_ALLOW
            );
        }
        for family in [
            libc::AF_VSOCK,
            libc::AF_NETLINK,
            libc::AF_PACKET,
            libc::AF_ALG,
        ] {
            assert_eq!(decide(ARCH, libc::SYS_socket, [family as u32, 1]), REFUSE);
        }
    }

    #[test]
    fn a_process_sets_only_its_own_limits() {
        assert_eq!(decide(ARCH, libc::SYS_prlimit64, [0, 7]), SECCOMP_RET_ALLOW);
        assert_eq!(decide(ARCH, libc::SYS_prlimit64, [1, 7]), REFUSE);
    }

    #[test]
    fn nobody_types_into_a_terminal() {
        assert_eq!(
            decide(ARCH, libc::SYS_ioctl, [0, libc::TIOCSTI as u32]),
            REFUSE
        );
        assert_eq!(
            decide(ARCH, libc::SYS_ioctl, [0, libc::TIOCGWINSZ as u32]),
            SECCOMP_RET_ALLOW
        );
    }

    #[test]
    fn foreign_system_call_tables_kill() {
        const AUDIT_ARCH_I386: u32 = 0x4000_0003;
        assert_eq!(
            decide(AUDIT_ARCH_I386, libc::SYS_read, [0, 0]),
            SECCOMP_RET_KILL_PROCESS
        );
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_x32_table_kills() {
        let read = i64::from(X32_BIT) + libc::SYS_read;
        assert_eq!(decide(ARCH, read, [0, 0]), SECCOMP_RET_KILL_PROCESS);
    }
}
