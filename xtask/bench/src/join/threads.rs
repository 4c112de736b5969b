//! Threads of this process by their names.

use anyhow::Result;
use procfs::process::Process;
use tokio::runtime::{Builder, Runtime};

/// A runtime with a single worker of that name, of which the kernel keeps 15 bytes.
pub fn runtime(name: &str) -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?)
}

/// CPU time of all threads of that name since their start.
pub fn cpu_seconds(name: &str) -> Result<f64> {
    let mut ns = 0;
    for task in Process::myself()?.tasks()? {
        // One that ends meanwhile is none of those.
        let Ok(task) = task else { continue };
        if task.stat().is_ok_and(|stat| stat.comm == name) {
            ns += task.schedstat()?.sum_exec_runtime;
        }
    }
    Ok(ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_found_by_its_name() {
        let works = std::thread::Builder::new().name("bench-works".to_owned());
        let (before, after) = works
            .spawn(|| {
                let before = cpu_seconds("bench-works").unwrap();
                let begun = std::time::Instant::now();
                while begun.elapsed().as_millis() < 20 {}
                (before, cpu_seconds("bench-works").unwrap())
            })
            .unwrap()
            .join()
            .unwrap();
        assert!(after > before, "{before} {after}");
        assert_eq!(cpu_seconds("bench-nobody").unwrap(), 0.0);
    }
}
