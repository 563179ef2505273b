//! The functions of the vDSO.
//!
//! They are written as a compiler would, with plain `syscall` instructions for what needs the
//! kernel; the image is then rewritten as any other code.

use alloc::vec::Vec;

use super::asm::{Assembler, Label, jump_if};
use super::vvar;

const CLOCK_GETTIME: u32 = 228;
const CLOCK_GETRES: u32 = 229;
const GETTIMEOFDAY: u32 = 96;
const TIME: u32 = 201;
const GETCPU: u32 = 309;
const RT_SIGRETURN: u32 = 15;

const NANOSECONDS: u32 = 1_000_000_000;

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
const XOR_EAX_EAX: [u8; 2] = [0x31, 0xc0];
const RET: [u8; 1] = [0xc3];

/// One function: its name without `__vdso_`, where it is, how long it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// The assembled functions; offsets count from the start of `code`.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) code: Vec<u8>,
    pub(super) functions: Vec<Function>,
    pub(super) restorer: Function,
}

/// Assembles everything for code that starts `text` bytes behind the data page's start.
pub(super) fn assemble(text: usize) -> Code {
    let mut functions = Vec::new();
    let mut builder = Builder { asm: Assembler::default(), text };
    functions.push(builder.function("clock_gettime", Builder::clock_gettime));
    functions.push(builder.function("gettimeofday", Builder::gettimeofday));
    functions.push(builder.function("time", Builder::time));
    functions.push(builder.function("clock_getres", Builder::clock_getres));
    functions.push(builder.function("getcpu", Builder::getcpu));
    // Unwinders look up the instruction before a return address: the no-op is that instruction.
    builder.asm.align();
    builder.asm.op(&[0x90]);
    let restorer = builder.function_here("restorer", |builder| {
        builder.kernel_call(RT_SIGRETURN);
        builder.asm.op(&[0x0f, 0x0b]); // ud2: that call does not return here
    });
    Code { code: builder.asm.finish(), functions, restorer }
}

struct Builder {
    asm: Assembler,
    text: usize,
}

impl Builder {
    fn function(&mut self, name: &'static str, body: impl FnOnce(&mut Self)) -> Function {
        self.asm.align();
        self.function_here(name, |builder| {
            builder.asm.op(&ENDBR64);
            body(builder);
        })
    }

    fn function_here(&mut self, name: &'static str, body: impl FnOnce(&mut Self)) -> Function {
        let offset = self.asm.position();
        body(self);
        Function { name, offset, len: self.asm.position().saturating_sub(offset) }
    }

    /// `lea r8, [data page]`
    fn load_page(&mut self) {
        let next = self.text.wrapping_add(self.asm.position()).wrapping_add(7);
        self.asm.op32(&[0x4c, 0x8d, 0x05], 0usize.wrapping_sub(next) as u32);
    }

    fn kernel_call(&mut self, number: u32) {
        self.asm.op32(&[0xb8], number); // mov eax, number
        self.asm.op(&[0x0f, 0x05]); // syscall
    }

    /// `slow:` asks the kernel with the arguments as they came.
    fn slow_path(&mut self, slow: Label, number: u32) {
        self.asm.bind(slow);
        self.kernel_call(number);
        self.asm.op(&RET);
    }

    /// Splits the time of a clock into seconds in RDX and nanoseconds in RCX.
    ///
    /// `by_id`: the clock's id is in RDI, below 8; else it is `CLOCK_REALTIME`. Changes RAX, R8, R9.
    fn read_clock(&mut self, by_id: bool, slow: Label) {
        self.load_page();
        let asm = &mut self.asm;
        let wait = asm.label();
        let start = asm.label();
        asm.jump(start);
        asm.bind(wait);
        asm.op(&[0xf3, 0x90]); // pause
        asm.bind(start);
        asm.op(&[0x45, 0x8b, 0x48, vvar::SEQUENCE as u8]); // mov r9d, [r8 + sequence]
        asm.op(&[0x41, 0xf6, 0xc1, 1]); // test r9b, 1
        asm.jump_if(jump_if::NOT_EQUAL, wait);
        if by_id {
            asm.op(&[0x41, 0x8b, 0x40, vvar::CLOCK_MASK as u8]); // mov eax, [r8 + clocks]
            asm.op(&[0x0f, 0xa3, 0xf8]); // bt eax, edi
            asm.jump_if(jump_if::NOT_BELOW, slow);
        } else {
            asm.op(&[0x41, 0xf6, 0x40, vvar::CLOCK_MASK as u8, 1]); // test byte [r8 + clocks], 1
            asm.jump_if(jump_if::EQUAL, slow);
        }
        asm.op(&[0x0f, 0xae, 0xe8]); // lfence
        asm.op(&[0x0f, 0x31]); // rdtsc
        asm.op(&[0x48, 0xc1, 0xe2, 32]); // shl rdx, 32
        asm.op(&[0x48, 0x09, 0xd0]); // or rax, rdx
        asm.op(&[0x31, 0xc9]); // xor ecx, ecx
        asm.op(&[0x49, 0x2b, 0x40, vvar::CYCLE_LAST as u8]); // sub rax, [r8 + cycle_last]
        asm.op(&[0x48, 0x0f, 0x42, 0xc1]); // cmovb rax, rcx
        asm.op(&[0x41, 0x8b, 0x48, vvar::SHIFT_COUNT as u8]); // mov ecx, [r8 + shift]
        asm.op(&[0x49, 0xf7, 0x60, vvar::MULT as u8]); // mul qword [r8 + mult]
        asm.op(&[0x48, 0x0f, 0xad, 0xd0]); // shrd rax, rdx, cl
        if by_id {
            asm.op(&[0x49, 0x03, 0x44, 0xf8, vvar::BASE_NS as u8]); // add rax, [r8+rdi*8+base_ns]
        } else {
            asm.op(&[0x49, 0x03, 0x40, vvar::BASE_NS as u8]); // add rax, [r8 + base_ns]
        }
        asm.op(&[0x45, 0x3b, 0x48, vvar::SEQUENCE as u8]); // cmp r9d, [r8 + sequence]
        asm.jump_if(jump_if::NOT_EQUAL, wait);

        // Seconds by multiplication: n / 10^9 = (n >> 9) * 0x44b82fa09b5a53 >> 75.
        asm.op(&[0x48, 0x89, 0xc1]); // mov rcx, rax
        asm.op(&[0x48, 0xc1, 0xe8, 9]); // shr rax, 9
        asm.op(&[0x48, 0xba]); // mov rdx, imm64
        asm.op(&0x0044_b82f_a09b_5a53_u64.to_le_bytes());
        asm.op(&[0x48, 0xf7, 0xe2]); // mul rdx
        asm.op(&[0x48, 0xc1, 0xea, 11]); // shr rdx, 11
        asm.op32(&[0x48, 0x69, 0xc2], NANOSECONDS); // imul rax, rdx, 10^9
        asm.op(&[0x48, 0x29, 0xc1]); // sub rcx, rax
    }

    /// `int clock_gettime(clockid_t edi, struct timespec *rsi)`
    fn clock_gettime(&mut self) {
        let slow = self.asm.label();
        self.asm.op(&[0x89, 0xff]); // mov edi, edi
        self.asm.op(&[0x83, 0xff, vvar::CLOCKS as u8]); // cmp edi, CLOCKS
        self.asm.jump_if(jump_if::NOT_BELOW, slow);
        self.read_clock(true, slow);
        self.asm.op(&[0x48, 0x89, 0x16]); // mov [rsi], rdx
        self.asm.op(&[0x48, 0x89, 0x4e, 8]); // mov [rsi + 8], rcx
        self.asm.op(&XOR_EAX_EAX);
        self.asm.op(&RET);
        self.slow_path(slow, CLOCK_GETTIME);
    }

    /// `int gettimeofday(struct timeval *rdi, struct timezone *rsi)`
    fn gettimeofday(&mut self) {
        let slow = self.asm.label();
        let done = self.asm.label();
        self.asm.op(&[0x48, 0x85, 0xf6]); // test rsi, rsi
        self.asm.jump_if(jump_if::NOT_EQUAL, slow);
        self.asm.op(&[0x48, 0x85, 0xff]); // test rdi, rdi
        self.asm.jump_if(jump_if::EQUAL, done);
        self.read_clock(false, slow);
        // Microseconds by multiplication: n / 1000 = n * 274877907 >> 38 for n < 2^30.
        self.asm.op32(&[0x48, 0x69, 0xc1], 274_877_907); // imul rax, rcx, imm
        self.asm.op(&[0x48, 0xc1, 0xe8, 38]); // shr rax, 38
        self.asm.op(&[0x48, 0x89, 0x17]); // mov [rdi], rdx
        self.asm.op(&[0x48, 0x89, 0x47, 8]); // mov [rdi + 8], rax
        self.asm.bind(done);
        self.asm.op(&XOR_EAX_EAX);
        self.asm.op(&RET);
        self.slow_path(slow, GETTIMEOFDAY);
    }

    /// `time_t time(time_t *rdi)`
    fn time(&mut self) {
        let slow = self.asm.label();
        let done = self.asm.label();
        self.read_clock(false, slow);
        self.asm.op(&[0x48, 0x89, 0xd0]); // mov rax, rdx
        self.asm.op(&[0x48, 0x85, 0xff]); // test rdi, rdi
        self.asm.jump_if(jump_if::EQUAL, done);
        self.asm.op(&[0x48, 0x89, 0x07]); // mov [rdi], rax
        self.asm.bind(done);
        self.asm.op(&RET);
        self.slow_path(slow, TIME);
    }

    /// `int clock_getres(clockid_t edi, struct timespec *rsi)`
    fn clock_getres(&mut self) {
        let slow = self.asm.label();
        let done = self.asm.label();
        self.load_page();
        self.asm.op(&[0x83, 0xff, vvar::CLOCKS as u8]); // cmp edi, CLOCKS
        self.asm.jump_if(jump_if::NOT_BELOW, slow);
        // The coarse clocks (5, 6) have another resolution.
        self.asm.op(&[0x41, 0x8b, 0x40, vvar::CLOCK_MASK as u8]); // mov eax, [r8 + clocks]
        self.asm.op32(&[0x25], 0b1001_0011); // and eax, imm
        self.asm.op(&[0x0f, 0xa3, 0xf8]); // bt eax, edi
        self.asm.jump_if(jump_if::NOT_BELOW, slow);
        self.asm.op(&[0x48, 0x85, 0xf6]); // test rsi, rsi
        self.asm.jump_if(jump_if::EQUAL, done);
        self.asm.op32(&[0x48, 0xc7, 0x06], 0); // mov qword [rsi], 0
        self.asm.op32(&[0x48, 0xc7, 0x46, 8], 1); // mov qword [rsi + 8], 1
        self.asm.bind(done);
        self.asm.op(&XOR_EAX_EAX);
        self.asm.op(&RET);
        self.slow_path(slow, CLOCK_GETRES);
    }

    /// `long getcpu(unsigned *rdi, unsigned *rsi, void *)`
    fn getcpu(&mut self) {
        let slow = self.asm.label();
        let no_cpu = self.asm.label();
        let no_node = self.asm.label();
        self.load_page();
        self.asm.op(&[0x41, 0xf6, 0x40, vvar::FLAGS as u8, 1]); // test byte [r8 + flags], 1
        self.asm.jump_if(jump_if::EQUAL, slow);
        self.asm.op(&[0x0f, 0x01, 0xf9]); // rdtscp
        self.asm.op(&[0x48, 0x85, 0xff]); // test rdi, rdi
        self.asm.jump_if(jump_if::EQUAL, no_cpu);
        self.asm.op(&[0x89, 0xc8]); // mov eax, ecx
        self.asm.op32(&[0x25], 0xfff); // and eax, 0xfff
        self.asm.op(&[0x89, 0x07]); // mov [rdi], eax
        self.asm.bind(no_cpu);
        self.asm.op(&[0x48, 0x85, 0xf6]); // test rsi, rsi
        self.asm.jump_if(jump_if::EQUAL, no_node);
        self.asm.op(&[0xc1, 0xe9, 12]); // shr ecx, 12
        self.asm.op(&[0x89, 0x0e]); // mov [rsi], ecx
        self.asm.bind(no_node);
        self.asm.op(&XOR_EAX_EAX);
        self.asm.op(&RET);
        self.slow_path(slow, GETCPU);
    }
}
