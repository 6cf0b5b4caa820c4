//! The chaincode, as a service.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
