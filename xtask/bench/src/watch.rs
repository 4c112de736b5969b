//! What a kernel view inside this process is told.

use da_server::kernel::{EndpointConfig, EndpointKind, KernelConfig, Unlisted, Watch};

/// To watch one host, as a collector alone does by default.
pub fn one_host(host: &str) -> Watch {
    let endpoint = EndpointConfig {
        name: "bench".to_owned(),
        kind: EndpointKind::Llm,
        hosts: vec![host.to_owned()],
        addresses: Vec::new(),
    };
    Watch {
        endpoints: vec![endpoint],
        unlisted: Unlisted::Drop,
        resolved: Vec::new(),
        max_processes: KernelConfig::default().max_processes,
    }
}
