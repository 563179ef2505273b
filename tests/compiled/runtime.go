// A server and its clients on loopback, and what a runtime does besides: timers, children, panics.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("listen:", err)
		return
	}
	mux := http.NewServeMux()
	var mutex sync.Mutex
	seen := map[string]int{}
	mux.HandleFunc("/hello/", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/hello/")
		mutex.Lock()
		seen[name]++
		mutex.Unlock()
		fmt.Fprintf(w, "hello %s", name)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	base := "http://" + listener.Addr().String()
	var group sync.WaitGroup
	wrong := 0
	for client := 0; client < 20; client++ {
		group.Add(1)
		go func(client int) {
			defer group.Done()
			for round := 0; round < 10; round++ {
				name := fmt.Sprintf("c%02d", client)
				answer, err := http.Get(base + "/hello/" + name)
				if err != nil {
					mutex.Lock()
					wrong++
					mutex.Unlock()
					fmt.Println(err)
					continue
				}
				text, _ := io.ReadAll(answer.Body)
				answer.Body.Close()
				if string(text) != "hello "+name {
					mutex.Lock()
					wrong++
					mutex.Unlock()
				}
			}
		}(client)
	}
	group.Wait()
	names := make([]string, 0)
	for name, count := range seen {
		names = append(names, fmt.Sprintf("%s=%d", name, count))
	}
	sort.Strings(names)
	fmt.Println("wrong", wrong, names)
	large := strings.Repeat("0123456789", 100000)
	answer, err := http.Post(base+"/echo", "text/plain", strings.NewReader(large))
	if err == nil {
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println("echo", len(text), string(text) == large)
	} else {
		fmt.Println("echo", err)
	}
	fmt.Println("close", server.Close())
}

func main() {
	serve()
	// Goroutines that compute are preempted by signals.
	done := make(chan int)
	for worker := 0; worker < 8; worker++ {
		go func() {
			sum := 0
			for i := 0; i < 20000000; i++ {
				sum += i & 3
			}
			done <- sum
		}()
	}
	ticks := 0
	ticker := time.NewTicker(time.Millisecond)
	total := 0
	for left := 8; left > 0; {
		select {
		case sum := <-done:
			total += sum
			left--
		case <-ticker.C:
			ticks++
		}
	}
	fmt.Println("total", total, ticks > 0)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("signal", <-signals)
	output, err := exec.Command("/bin/sh", "-c", "echo child; exit 3").Output()
	fmt.Printf("%q %v\n", output, err)
	func() {
		defer func() { fmt.Println("recovered", recover()) }()
		var none *int
		*none = 1
	}()
	for i := 0; i < 20; i++ {
		_ = make([]byte, 1<<20)
	}
	runtime.GC()
	context1, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer stop()
	<-context1.Done()
	fmt.Println(context1.Err())
	pipeR, pipeW, _ := os.Pipe()
	go func() { time.Sleep(5 * time.Millisecond); pipeW.WriteString("through a pipe"); pipeW.Close() }()
	text, _ := io.ReadAll(pipeR)
	fmt.Println(string(text))
}
