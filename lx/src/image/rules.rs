//! What the image's code leaves to the guest: read from its machine code, by the build script and
//! by a test.

use iced_x86::{
    Code, Decoder, DecoderOptions, EncodingKind, Instruction, InstructionInfoFactory, OpAccess,
    Register,
};
use object::{Object, ObjectSection, ObjectSymbol};

/// The vector registers that the entry saves unless the image is built with `save-all-xmm`.
const SAVED_XMM: usize = 8;

/// What was found in an image.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Instructions in the image.
    pub instructions: usize,
    /// Instructions that touch what is always the guest's: FS and wide vectors.
    pub forbidden: Vec<String>,
    /// Instructions that use vector registers beyond those that the entry saves.
    pub high_xmm: Vec<String>,
}

/// Looks at every instruction of an image.
///
/// # Errors
/// What is wrong with the file, in words.
pub(crate) fn examine(image: &[u8]) -> Result<Findings, String> {
    let file = object::File::parse(image).map_err(|error| error.to_string())?;
    let text = file.section_by_name(".text").ok_or("the image has no code")?;
    let code = text.data().map_err(|error| error.to_string())?;
    // What lies before it is the assembly that saves and loads the guest's vector state.
    let compiled = file
        .symbols()
        .find(|symbol| symbol.name() == Ok("__code_start"))
        .ok_or("the image has no symbol __code_start")?
        .address();
    let mut findings = Findings::default();
    let mut info = InstructionInfoFactory::new();
    for instruction in &mut Decoder::with_ip(64, code, text.address(), DecoderOptions::NONE) {
        findings.instructions += 1;
        let entry = instruction.ip() < compiled;
        let say = || format!("{:#x}: {:?}", instruction.ip(), instruction.code());
        if instruction.code() == Code::INVALID
            || uses_fs(&instruction)
            || (is_wide(&instruction) && !entry)
        {
            findings.forbidden.push(say());
        }
        let high =
            |register: Register| register.is_vector_register() && register.number() >= SAVED_XMM;
        if !entry
            && info
                .info(&instruction)
                .used_registers()
                .iter()
                .any(|used| used.access() != OpAccess::None && high(used.register()))
        {
            findings.high_xmm.push(say());
        }
    }
    Ok(findings)
}

/// FS is the guest's thread pointer.
fn uses_fs(instruction: &Instruction) -> bool {
    instruction.segment_prefix() == Register::FS
        || (0..instruction.op_count())
            .any(|operand| instruction.op_register(operand) == Register::FS)
}

/// The upper halves of the vector registers, and all that only AVX has, are the guest's.
fn is_wide(instruction: &Instruction) -> bool {
    let encoding = instruction.code().encoding();
    matches!(encoding, EncodingKind::VEX | EncodingKind::EVEX | EncodingKind::XOP)
}
