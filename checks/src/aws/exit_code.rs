//! What exit codes of containers mean by themselves: those of shells, of signals, and of Windows,
//! which leaves a status instead of a signal. What the runtime or a log says comes before it.

/// The signals that a process brings upon itself, and the crashes of Windows, by the code they
/// leave.
const CRASHES: &[(i32, &str)] = &[
    (132, "SIGILL"),
    (134, "SIGABRT"),
    (136, "SIGFPE"),
    (139, "SIGSEGV"),
    (-1_073_741_819, "an access violation"),
    (-1_073_741_795, "an illegal instruction"),
    (-1_073_741_676, "a division by zero"),
    (-1_073_741_571, "a stack overflow"),
    (-1_073_740_940, "a corrupted heap"),
    (-1_073_740_791, "a fail-fast exception"),
];

const DLL: &str = "Put the DLL into the image: the Visual C++ runtime, a part that Nano Server lacks and Server Core has, or a 64-bit one; then deploy again.";
const DOTNET: &str =
    "Read the exception in the log, mend the app or what it needs, and deploy again.";

/// What the app or its shell means by a code, and what to do where the log tells no more.
const MEANINGS: &[(i32, &str, Option<&str>)] = &[
    (126, "its command cannot be executed", None),
    (127, "its command is not there", None),
    (-1_073_741_515, "a DLL that it needs is missing", Some(DLL)),
    (-1_073_741_511, "a DLL that it needs is too old", Some(DLL)),
    (-1_073_741_512, "a DLL that it needs is too old", Some(DLL)),
    (-1_073_741_502, "a DLL that it needs cannot be set up", Some(DLL)),
    (-1_073_741_701, "a program or DLL is built for another CPU", Some(DLL)),
    (-532_462_766, "an exception of .NET that nobody caught", Some(DOTNET)),
    (
        -2_147_450_730,
        "the .NET runtime that it needs is not in the image",
        Some(
            "Take a base image with the .NET version that the app was built for, and deploy again.",
        ),
    ),
];

/// Which crash of native code a code stands for.
pub fn native_crash(code: i32) -> Option<&'static str> {
    CRASHES.iter().find(|(one, _)| *one == code).map(|(_, name)| *name)
}

pub fn is_native_crash(code: i32) -> bool {
    native_crash(code).is_some()
}

/// Windows's status of a program that was told to stop: `STATUS_CONTROL_C_EXIT`.
pub const CONTROL_C: i32 = -1_073_741_510;

/// Whether something outside ended it: SIGKILL, SIGTERM, or Windows's Ctrl+C.
pub fn is_from_outside(code: i32) -> bool {
    matches!(code, 137 | 143 | CONTROL_C)
}

/// Whether the app chose the code itself, to say that it failed.
pub fn is_of_the_app(code: i32) -> bool {
    code != 0 && !is_native_crash(code) && !is_from_outside(code)
}

/// What an app's own code means, where that is certain.
pub fn meaning(code: i32) -> Option<&'static str> {
    MEANINGS.iter().find(|(one, ..)| *one == code).map(|(_, meaning, _)| *meaning)
}

/// What to do about it.
pub fn advice(code: i32) -> Option<&'static str> {
    MEANINGS.iter().find(|(one, ..)| *one == code).and_then(|(_, _, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statuses of Windows are written in hexadecimal everywhere but in ECS.
    #[test]
    fn windows_statuses_are_those_that_its_documentation_has() {
        let status = |code: u32| code.cast_signed();
        for (code, crash) in [
            (0xC000_0005, "an access violation"),
            (0xC000_001D, "an illegal instruction"),
            (0xC000_0094, "a division by zero"),
            (0xC000_00FD, "a stack overflow"),
            (0xC000_0374, "a corrupted heap"),
            (0xC000_0409, "a fail-fast exception"),
        ] {
            assert_eq!(native_crash(status(code)), Some(crash));
        }
        for (code, word) in [
            (0xC000_0135, "missing"),
            (0xC000_0138, "too old"),
            (0xC000_0139, "too old"),
            (0xC000_0142, "set up"),
            (0xC000_007B, "another CPU"),
            (0xE043_4352, ".NET"),
            (0x8000_8096, "runtime"),
        ] {
            assert!(
                meaning(status(code)).is_some_and(|meaning| meaning.contains(word)),
                "{code:x}"
            );
        }
        assert_eq!(status(0xC000_013A), CONTROL_C);
    }

    #[test]
    fn a_code_is_of_the_app_of_a_crash_from_outside_or_of_success() {
        for (code, of_the_app) in [(1, true), (127, true), (-1_073_741_515, true), (255, true)] {
            assert_eq!(is_of_the_app(code), of_the_app, "{code}");
        }
        for code in [0, 132, 134, 136, 137, 139, 143, CONTROL_C, -1_073_741_819] {
            assert!(!is_of_the_app(code), "{code}");
        }
    }
}
